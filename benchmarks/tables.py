"""Figures as tables: a row for each quantity and case, a column for each side.

Quantities that were measured of the same sides in the same cases share a table.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from benchmarks.harness import Case, Figure, spread


class Table(NamedTuple):
    """`head`: the columns' names. Each row has as many cells, empty where a side has no figure."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(figures: Sequence[Figure]) -> list[Table]:
    """The figures in as few tables as possible, in the order in which they were measured."""
    alike: dict[tuple[tuple[str, ...], ...], list[Figure]] = {}
    for name in unique(each.name for each in figures):
        of_name = [each for each in figures if each.name == name]
        sides = unique(each.side for each in of_name)
        varied = unique(key for each in of_name for key in each.case)
        alike.setdefault((tuple(sides), tuple(varied)), []).extend(of_name)
    return [_table(sides, varied, group) for (sides, varied), group in alike.items()]


def _table(sides: Sequence[str], varied: Sequence[str], figures: Sequence[Figure]) -> Table:
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for each in figures:
        row = (quantity(each), *(cell(each.case.get(key, "")) for key in varied))
        rows.setdefault(row, {})[each.side] = str(spread(each.values))
    return Table(
        ["", *varied, *sides],
        [[*row, *(cells.get(side, "") for side in sides)] for row, cells in rows.items()],
    )


def markdown(table: Table) -> str:
    lines = [table.head, ["---"] * len(table.head), *table.rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def show(figures: Sequence[Figure]) -> None:
    """Prints the figures of a benchmark that has just run."""
    print(rounds(figures))
    for table in tables(figures):
        print(f"\n{markdown(table)}")


def rounds(figures: Sequence[Figure]) -> str:
    """What a table shows, and of how many rounds: a question may take more of what is quick."""
    fewest, most = (pick(len(each.values) for each in figures) for pick in (min, max))
    if most == 1:
        return "one round"
    return f"medians (quartiles) of {most if fewest == most else f'{fewest} to {most}'} rounds"


def quantity(figure: Figure) -> str:
    """With its unit, unless it is named after it."""
    return figure.name if figure.name == figure.unit else f"{figure.name}, {figure.unit}"


def label(case: Case) -> str:
    """Such as "streams 16, latency 20"; empty if nothing was varied."""
    return ", ".join(f"{key} {cell(value)}" for key, value in case.items())


def cell(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,}"


def unique(names: Iterable[str]) -> list[str]:
    """In the order in which they first come."""
    return list(dict.fromkeys(names))

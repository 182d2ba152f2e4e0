"""Figures as a chart: for each quantity a panel of bars, with the quartiles as error bars."""

from collections.abc import Sequence
from io import StringIO
from typing import Any

from benchmarks.harness import Figure, spread
from benchmarks.tables import cell, quantity, unique

COLORS = ("#9aa5b1", "#2563eb", "#d97706", "#059669", "#7c3aed", "#db2777")
BESIDE = 2
"""Panels in a row."""
CROWDED = 6
"""More cases than these have upright labels."""


def draw(question: str, figures: Sequence[Figure]) -> str:
    """An SVG, the same for the same figures. Raises ValueError if there are none."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Drawing
    from matplotlib.patches import Patch

    names = unique(each.name for each in figures)
    sides = unique(each.side for each in figures)
    if not names:
        raise ValueError("no figures")
    columns = min(len(names), BESIDE)
    rows = -(-len(names) // columns)
    # Text stays text. Ids, which are unique in a page, derive from the salt instead of chance.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": question, "font.size": 9}):
        drawing = Drawing(figsize=(4.5 * columns, 2.8 * rows + 0.5), layout="constrained")
        panels = list(drawing.subplots(rows, columns, squeeze=False).flat)
        for name, panel in zip(names, panels, strict=False):
            _bars(panel, [each for each in figures if each.name == name], sides)
        for panel in panels[len(names) :]:
            panel.remove()
        handles = [Patch(color=_color(side, sides), label=side) for side in sides]
        drawing.legend(handles=handles, loc="outside lower center", ncols=min(len(sides), 4))
        svg = StringIO()
        drawing.savefig(svg, format="svg", metadata={"Date": None})
    return svg.getvalue()


def _bars(panel: Any, figures: Sequence[Figure], sides: Sequence[str]) -> None:
    """`sides`: those of all panels, so that a side has one color."""
    here = [side for side in sides if any(each.side == side for each in figures)]
    cases = unique(_tick(each) for each in figures)
    width = 0.8 / len(here)
    for each in figures:
        low, median, high = spread(each.values)
        panel.bar(
            cases.index(_tick(each)) + (here.index(each.side) - (len(here) - 1) / 2) * width,
            median,
            width,
            yerr=[[median - low], [high - median]],
            color=_color(each.side, sides),
            ecolor="#374151",
        )
    panel.set_title(quantity(figures[0]))
    panel.set_xticks(range(len(cases)), cases, rotation=90 if len(cases) > CROWDED else 0)
    panel.set_xlabel(", ".join(figures[0].case))
    panel.spines[["top", "right"]].set_visible(False)


def _tick(figure: Figure) -> str:
    return ", ".join(map(cell, figure.case.values()))


def _color(side: str, sides: Sequence[str]) -> str:
    return COLORS[sides.index(side) % len(COLORS)]

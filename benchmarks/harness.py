"""What the benchmarks share: rounds in turn, medians and quartiles, and the JSON of a report.

Theory: a shared machine is now fast, now slow, so two figures compare only if they were taken next
to each other. Every round therefore runs each side once, and what is reported of two sides is the
median of the rounds' differences or ratios, not the difference of two medians. The order is
reversed in every other round, so that no side always runs after the same one.

A benchmark answers one question. Its figures go to `reports/<question>.json`, with the machine and
the commit that gave them; Git ignores the folder. Another folder can be named by the environment
variable REPORTS: a quick run has its own, so that it overwrites no measurement.
"""

import json
import math
import os
import platform
import statistics
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from worker.command import CommandParser

ROOT = Path(__file__).parent.parent
REPORTS = Path(os.environ.get("REPORTS") or ROOT / "reports")

Case = Mapping[str, float | str]
"""What was varied, such as `{"streams": 16}`."""

T = TypeVar("T")


class Spread(NamedTuple):
    """The median and the quartiles of some values."""

    low: float
    median: float
    high: float

    def __str__(self) -> str:
        """The median to three digits, and the quartiles to as many decimals, if they differ."""
        if not any(self):
            return "0"
        decimals = sum(abs(self.median) < limit for limit in (99.95, 9.995, 0.9995))
        low, median, high = (f"{value:,.{decimals}f}" for value in self)
        return median if low == high else f"{median} ({low} to {high})"


class Figure(NamedTuple):
    """One measured quantity of one side: a value for each round."""

    name: str
    side: str
    unit: str
    case: Case
    values: Sequence[float]


class Report(NamedTuple):
    """What a run of one question measured. `date`: of its end, in UTC, such as "2026-11-28"."""

    question: str
    commit: str
    date: str
    machine: Mapping[str, Any]
    figures: Sequence[Figure]


def question_parser(name: str, doc: str | None) -> CommandParser:
    """The command line of a question's module. `doc`: its docstring."""
    parser = CommandParser(f"python -m benchmarks.{name}", doc)
    parser.add_argument("--quick", action="store_true", help="one short round: only to see it run")
    return parser


def spread(values: Sequence[float]) -> Spread:
    """Quartiles lie within the values, and of one value they are that value.

    Raises ValueError if there is none.
    """
    if not values:
        raise ValueError("no values")
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    return Spread(*statistics.quantiles(values, n=4, method="inclusive"))


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that at least `percent` per cent of the values do not exceed.

    Of few values, the 99th percentile is the greatest. Raises ValueError if there is none.
    """
    if not values:
        raise ValueError("no values")
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


async def in_turn(
    sides: Mapping[str, Callable[[], Awaitable[T]]], rounds: int, warm_up: bool = True
) -> dict[str, list[T]]:
    """Runs each side once per round. Returns what each returned, in the order of the rounds.

    Unless `warm_up` is false, one more round comes first, whose results are dropped.
    """
    results: dict[str, list[T]] = {name: [] for name in sides}
    for number in range(not warm_up, rounds + 1):
        for name in _order(list(sides), number):
            result = await sides[name]()
            if number:
                results[name].append(result)
    return results


def _order(names: Sequence[str], number: int) -> Iterator[str]:
    return reversed(names) if number % 2 else iter(names)


def differences(values: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """Round by round. Raises ValueError if the sides did not run equally often."""
    return [value - base for value, base in zip(values, baseline, strict=True)]


def ratios(values: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """Round by round. Raises ValueError if the sides did not run equally often."""
    return [value / base for value, base in zip(values, baseline, strict=True)]


def machine() -> dict[str, Any]:
    """What the figures depend on. `load`: how many processes wanted a core in the last minute."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()  # on Arm, /proc/cpuinfo has no names


def commit(repository: Path = ROOT) -> str:
    """The commit of `repository`, followed by `-dirty` if there are changes to tracked files."""
    return subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"],  # noqa: S607
        cwd=repository,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def save(question: str, figures: Sequence[Figure], folder: Path = REPORTS) -> Path:
    """Writes the figures, with their spreads, the machine and the commit. Returns the file."""
    today = datetime.now(UTC).date().isoformat()
    report = Report(question, commit(), today, machine(), figures)
    with_spreads = [{**each._asdict(), "spread": spread(each.values)._asdict()} for each in figures]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{question}.json"
    file.write_text(json.dumps({**report._asdict(), "figures": with_spreads}, indent=1) + "\n")
    return file


def load(question: str, folder: Path = REPORTS) -> Report:
    """What `save` wrote. Raises FileNotFoundError if the question has not been run."""
    report = Report(**json.loads((folder / f"{question}.json").read_text()))
    figures: list[Any] = list(report.figures)
    return report._replace(
        figures=[Figure(*(each[field] for field in Figure._fields)) for each in figures]
    )

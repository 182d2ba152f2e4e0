"""The benchmarks' harness: fair rounds, quartiles, and a report that says where it comes from."""

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.harness import (
    Figure,
    commit,
    differences,
    in_turn,
    machine,
    percentile,
    save,
    spread,
)

VALUES = st.lists(st.floats(-1e9, 1e9), min_size=1)


def test_each_round_runs_every_side_in_alternating_order() -> None:
    """No side always runs after the same one."""
    ran = list[str]()
    asyncio.run(in_turn({name: writes(ran, name) for name in "abc"}, rounds=3))
    assert "".join(ran) == "abc" + "cba" + "abc" + "cba"


def test_the_first_round_warms_up() -> None:
    """What it measured is dropped."""
    counts = iter(range(10))

    async def count() -> int:
        return next(counts)

    assert asyncio.run(in_turn({"a": count}, rounds=2)) == {"a": [1, 2]}


def test_a_side_with_nothing_to_warm_up_runs_only_as_often_as_asked() -> None:
    """Each run of it may take long."""
    ran = list[str]()
    asyncio.run(in_turn({name: writes(ran, name) for name in "ab"}, rounds=2, warm_up=False))
    assert "".join(ran) == "ba" + "ab"


def test_a_side_that_fails_ends_the_benchmark() -> None:
    """There is no report with a hole in it."""

    async def fail() -> None:
        raise AssertionError("wrong answer")

    with pytest.raises(AssertionError, match="wrong answer"):
        asyncio.run(in_turn({"a": fail}, rounds=1))


@given(VALUES)
def test_quartiles_are_ordered_and_within_the_values(values: list[float]) -> None:
    """However few rounds there are: `--quick` has one or two."""
    low, median, high = spread(values)
    slack = 1e-6  # floating point
    assert min(values) - slack <= low <= median + slack
    assert median - slack <= high <= max(values) + slack


def test_quartiles_of_known_values() -> None:
    """The middle of five is the third, and the quartiles are its neighbours."""
    assert spread([5.0, 1.0, 4.0, 2.0, 3.0]) == (2.0, 3.0, 4.0)


def test_nothing_has_no_median() -> None:
    with pytest.raises(ValueError, match="no values"):
        spread([])


@given(VALUES, st.integers(1, 100))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[float], percent: int
) -> None:
    """It is one of the values, however few there are."""
    found = percentile(values, percent)
    below = [value for value in values if value < found]
    assert found in values
    assert len([value for value in values if value <= found]) * 100 >= percent * len(values)
    assert len(below) * 100 < percent * len(values)


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 99)


def test_differences_are_taken_round_by_round() -> None:
    """A machine that was slow in one round was slow for both sides."""
    assert differences([11.0, 21.0, 31.0], [10.0, 20.0, 30.0]) == [1.0, 1.0, 1.0]


def test_sides_that_ran_unequally_often_do_not_compare() -> None:
    with pytest.raises(ValueError, match="longer"):
        differences([1.0, 2.0], [1.0, 2.0, 3.0])


def test_a_report_has_its_figures_and_where_they_come_from(tmp_path: Path) -> None:
    """Every value is kept, so that other statistics can be made of it later."""
    figure = Figure("cpu", "bare", "µs/token", {"streams": 16}, [3.0, 1.0, 2.0])
    report = json.loads(save("cost", [figure], tmp_path / "new").read_text())
    assert report["figures"] == [
        {
            "name": "cpu",
            "side": "bare",
            "unit": "µs/token",
            "case": {"streams": 16},
            "values": [3.0, 1.0, 2.0],
            "spread": {"low": 1.5, "median": 2.0, "high": 2.5},
        }
    ]
    assert report["question"] == "cost"
    assert report["commit"] == commit()
    assert report["machine"].keys() == machine().keys()


def test_a_commit_with_changes_is_called_dirty(tmp_path: Path) -> None:
    """Its figures cannot be had again by checking it out."""
    file = tmp_path / "file"
    file.write_text("1")
    for command in ("init -q", "add file", "-c user.name=x -c user.email=x@x commit -qm x"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    clean = commit(tmp_path)
    file.write_text("2")
    assert commit(tmp_path) == f"{clean}-dirty"


def writes(ran: list[str], name: str) -> Callable[[], Awaitable[None]]:
    """A side that only writes down that it ran."""

    async def side() -> None:
        ran.append(name)

    return side

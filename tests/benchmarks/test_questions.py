"""The table of questions, and how a goal is judged."""

import re
from collections.abc import Mapping, Sequence

import pytest

from benchmarks import http_peers, queue_lag
from benchmarks.harness import Case, Figure
from benchmarks.questions import QUESTIONS, Goal, verdict
from tests.support import ROOT


def speeds(side: str, streams: int, values: Sequence[float], **more: float) -> Figure:
    case: Case = {"streams": streams, **more}
    return Figure("speed", side, "tokens/s", case, values)


def test_the_table_has_every_module_that_measures() -> None:
    """In `make bench` nothing is left out, and a report bears the name of its module."""
    saved = {
        path.stem: re.findall(r'save\("(\w+)"', path.read_text())
        for path in (ROOT / "benchmarks").glob("*.py")
    }
    measuring = {name: questions for name, questions in saved.items() if questions}
    assert measuring == {each.name: [each.name] for each in QUESTIONS}


@pytest.mark.parametrize(
    ("relation", "bound", "held", "value"),
    [
        ("at least", 90, False, 80),
        ("at least", 80, True, 80),
        ("at most", 99, False, 100),
        ("at most", 100, True, 100),
    ],
)
def test_the_worst_case_decides(relation: str, bound: float, held: bool, value: float) -> None:
    """A bound itself is within it."""
    goal = Goal._make(["speed", "worker", relation, bound, None, {}])
    found = verdict(goal, [speeds("worker", 1, [100, 90, 110]), speeds("worker", 16, [80])])
    assert found is not None
    assert (found.held, found.value, found.unit) == (held, value, "tokens/s")
    assert found.case == {"streams": 1 if relation == "at most" else 16}


def test_beside_another_side_the_median_of_the_rounds_ratios_counts() -> None:
    """Not the ratio of the medians, which would be 1.1 here."""
    figures = [speeds("worker", 1, [300, 110, 10]), speeds("bare", 1, [100, 100, 100])]
    goal = Goal("speed", "worker", "at least", 1, beside="bare")
    slow_machine = [figures[0], speeds("bare", 1, [150, 10, 10])]
    assert [verdict(goal, each) for each in (figures, slow_machine)] == [
        (True, 1.1, "", {"streams": 1}),
        (True, 2.0, "", {"streams": 1}),
    ]


def test_a_goal_of_one_case_ignores_the_others() -> None:
    """What else was varied is not asked for."""
    figures = [speeds("worker", 1, [1], latency=0), speeds("worker", 32, [50], latency=20)]
    goal = Goal("speed", "worker", "at least", 10, case={"streams": 32})
    assert verdict(goal, figures) == (True, 50, "tokens/s", {"streams": 32, "latency": 20})


@pytest.mark.parametrize(
    "goal",
    [
        Goal("latency", "worker", "at most", 1),
        Goal("speed", "peer", "at most", 1),
        Goal("speed", "worker", "at most", 1, case={"streams": 2}),
        Goal("speed", "worker", "at most", 1, beside="peer"),
    ],
    ids=["quantity", "side", "case", "beside"],
)
def test_what_was_not_measured_has_no_verdict(goal: Goal) -> None:
    assert verdict(goal, [speeds("worker", 1, [1])]) is None


def test_what_a_goal_is_about() -> None:
    """As the report shows it."""
    goal = Goal("total", "proxy", "at least", 5, "worker", {"streams": 32, "latency": "20 ms"})
    assert goal.subject == "proxy / worker (streams 32, latency 20 ms): total"


@pytest.mark.parametrize(
    ("name", "units", "sides"),
    [
        ("queue_lag", queue_lag.UNITS, queue_lag.SIDES),
        ("http_peers", http_peers.UNITS, http_peers.SERVERS),
    ],
)
def test_goals_are_about_what_is_measured(
    name: str, units: Mapping[str, str], sides: Mapping[str, object]
) -> None:
    """A goal with a misspelt side would never be judged."""
    (question,) = (each for each in QUESTIONS if each.name == name)
    assert {goal.quantity for goal in question.goals} <= units.keys()
    named = {side for goal in question.goals for side in (goal.side, goal.beside) if side}
    assert named <= sides.keys()

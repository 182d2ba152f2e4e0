"""The benchmark of agent loops: what its agents and workers do, and what it reports of them.

The engine is a list; prefix caches and times are the real engine's.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from benchmarks.agent_loops import ENDS, THOUGHT, Side, comparisons, figures_of, turns_of
from benchmarks.api_cost import ListEngine
from benchmarks.harness import Figure
from benchmarks.tool_loop import Agent, TurnFigures, turn
from worker.generation import Sampling, Step
from worker.harmony.vocabulary import CALL
from worker.model import Model
from worker.service import Service
from worker.settings import Settings

TURNS = 4


class LoopListEngine(ListEngine):
    """Generates the loop's turns."""

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        self.ids = turn(prompt_ids.count(CALL), THOUGHT)
        async with aclosing(super().generate(prompt_ids, sampling, rid)) as steps:
            async for step in steps:
                yield step


def loop(settings: Sequence[Settings], agents: int = 1) -> Sequence[Sequence[TurnFigures]]:
    """The turns of agents that ask workers with these settings."""
    model = Model("x", ("m",), 131072)
    workers = [Service(LoopListEngine(), model, each) for each in settings]
    side = Side([Agent(f"town {number}") for number in range(agents)], workers)
    return asyncio.run(turns_of({"side": side}, TURNS))["side"]


SIDES = {side: each for compared in comparisons(Settings()) for side, each in compared.items()}
LAST_SEEN_FROM = {
    "one worker": {"memory": 3},
    "one worker, no turn memory": {"lost": 3},
    "two workers, capsules": {"memory": 1, "capsule": 2},
    "two workers, no capsules": {"memory": 1, "lost": 2},
}
"""In the last of four turns: where the reasoning of the three turns before it came from. Of two
workers, the second one has made the second turn and makes the fourth."""


@pytest.mark.parametrize("side", SIDES)
def test_a_sides_settings_decide_what_becomes_of_the_reasoning(side: str) -> None:
    """The clients send none back; a worker knows its own turns, and capsules those of others."""
    ((last,),) = loop(SIDES[side])[-1:]
    assert last.reasoning == LAST_SEEN_FROM[side]


def test_a_history_grows_by_its_turns() -> None:
    """Each prompt is longer than the one before, and agents have histories of their own."""
    turns = loop([Settings()], agents=2)
    assert [len(each) for each in turns] == [2] * TURNS
    prompts = [first.prompt for first, _ in turns]
    assert prompts == sorted(set(prompts))


def made_up(number: int, agent: int) -> TurnFigures:
    """The turn takes as many ms as its number, twice as long for agent 1; 1 ms before the engine.
    A tenth of its prompt is not in the cache."""
    milliseconds = number * (agent + 1)
    reasoning = {"memory": 3, "lost": 1}
    return TurnFigures(10 * number, 9 * number, milliseconds / 1000, 0.001, reasoning)


def figure(figures: Sequence[Figure], name: str, **case: float | str) -> Sequence[float]:
    (values,) = [each.values for each in figures if (each.name, each.case) == (name, case)]
    return values


def test_what_is_reported_of_each_agent() -> None:
    """Of 50 turns: the median times of the first ten and of the last ten, and their ratio."""
    turns = [[made_up(number, agent) for agent in range(2)] for number in range(1, 51)]
    figures = figures_of("one worker", turns)
    first, last = f"first {ENDS}", f"last {ENDS}"
    assert figure(figures, "TTFT", turns=first) == pytest.approx([5.5, 11])
    assert figure(figures, "TTFT", turns=last) == pytest.approx([45.5, 91])
    assert figure(figures, "TTFT, last turns over first") == pytest.approx([45.5 / 5.5] * 2)
    assert figure(figures, "of it before the engine", turns=last) == pytest.approx([1, 1])
    assert figure(figures, "cached", turn=20) == pytest.approx([90, 90])
    assert figure(figures, "reasoning seen at the end") == pytest.approx([75, 75])
    assert figure(figures, "last prompt") == [500, 500]


def test_a_short_run_is_halved() -> None:
    """Its first and its last turns are never the same."""
    figures = figures_of("one worker", [[made_up(number, 0)] for number in range(1, 6)])
    assert figure(figures, "TTFT", turns="first 2") == pytest.approx([1.5])
    assert figure(figures, "TTFT", turns="last 2") == pytest.approx([4.5])

"""The contract of the engine port, kept by the real engine and by the tests' own."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import RealWorker
from tests.support.scripted_engine import ScriptedEngine, tokens
from worker.api.chat import render_prompt
from worker.engine import Engine, Health, Sampling, Step
from worker.errors import BadRequest
from worker.harmony.vocabulary import RETURN, STOP_IDS

Run = Callable[[Coroutine[Any, Any, Any]], Any]
COUNT = render_prompt({"messages": [{"role": "user", "content": "Count to one hundred"}]})
SUM = render_prompt({"messages": [{"role": "user", "content": "What is 2+2?"}]})
GREEDY = Sampling(max_tokens=2000, temperature=0.0, stop_ids=STOP_IDS)


@pytest.fixture(
    params=["scripted", "real", pytest.param("with_detokenizer", marks=pytest.mark.slow)]
)
def engine_and_run(request: pytest.FixtureRequest) -> tuple[Engine, Run]:
    """An engine that is ready, and what runs a coroutine on its loop."""
    if request.param != "scripted":
        real: RealWorker = request.getfixturevalue(request.param)
        return real.engine, real.run
    long = "<|channel|>final<|message|>" + "one two " * 200 + "<|return|>"
    engine = ScriptedEngine(tokens(long), context_length=131072)
    asyncio.run(engine.start())
    return engine, asyncio.run


async def steps(engine: Engine, prompt: Sequence[int], sampling: Sampling, rid: str) -> list[Step]:
    async with aclosing(engine.generate(prompt, sampling, rid)) as generated:
        return [step async for step in generated]


def test_every_step_but_the_last_has_no_finish_reason(
    engine_and_run: tuple[Engine, Run],
) -> None:
    """Ids come in steps; the counts are totals; a stop id ends the request and is among the ids."""
    engine, run = engine_and_run
    made = run(steps(engine, COUNT, GREEDY, "a"))
    assert all(step.ids for step in made)
    assert [step.finish_reason for step in made[:-1]] == [None] * (len(made) - 1)
    assert made[-1].finish_reason == "stop"
    assert made[-1].ids[-1] == RETURN
    assert made[-1].prompt_tokens == len(COUNT)
    assert made[-1].completion_tokens == sum(len(step.ids) for step in made) >= 300


def test_a_limit_ends_a_request_with_length(engine_and_run: tuple[Engine, Run]) -> None:
    """After exactly as many tokens."""
    engine, run = engine_and_run
    made = run(steps(engine, COUNT, replace(GREEDY, max_tokens=5), "a"))
    assert made[-1].finish_reason == "length"
    assert made[-1].completion_tokens == 5


def test_log_probabilities_come_for_every_id(engine_and_run: tuple[Engine, Run]) -> None:
    """As many alternatives as were asked for, the chosen id's own among them at temperature 0."""
    engine, run = engine_and_run
    sampling = replace(GREEDY, max_tokens=6, top_logprobs=1)
    for step in run(steps(engine, COUNT, sampling, "a")):
        assert [entry.id for entry in step.logprobs] == list(step.ids)
        assert all(entry.logprob <= 0 for entry in step.logprobs)
        assert [entry.top[0][0] for entry in step.logprobs] == list(step.ids)


def test_no_log_probabilities_unless_asked_for(engine_and_run: tuple[Engine, Run]) -> None:
    """They cost time."""
    engine, run = engine_and_run
    made = run(steps(engine, COUNT, replace(GREEDY, max_tokens=3), "a"))
    assert not any(step.logprobs for step in made)


def test_an_abort_ends_a_request(engine_and_run: tuple[Engine, Run]) -> None:
    """Its last step says so and has no ids."""
    engine, run = engine_and_run

    async def aborted() -> Step:
        made: list[Step] = []
        async with aclosing(engine.generate(COUNT, GREEDY, "b")) as generated:
            async for step in generated:
                made.append(step)
                engine.abort("b")
        return made[-1]

    assert run(aborted()) == Step((), "abort")


def test_aborting_what_does_not_run_does_nothing(engine_and_run: tuple[Engine, Run]) -> None:
    """An abort may come too late."""
    engine, run = engine_and_run
    engine.abort("unknown")
    assert run(steps(engine, COUNT, replace(GREEDY, max_tokens=2), "c"))


def test_a_request_may_be_left(engine_and_run: tuple[Engine, Run]) -> None:
    """Closing its generator ends it; the engine goes on."""
    engine, run = engine_and_run

    async def left() -> None:
        async with aclosing(engine.generate(COUNT, GREEDY, "left")) as generated:
            await anext(generated)
        assert await steps(engine, COUNT, replace(GREEDY, max_tokens=1), "next")

    run(left())


def test_a_request_may_be_cancelled(engine_and_run: tuple[Engine, Run]) -> None:
    """Cancelling the task that listens ends it, too; CancelledError passes through."""
    engine, run = engine_and_run

    async def listen(begun: asyncio.Event) -> None:
        async with aclosing(engine.generate(COUNT, GREEDY, "cancelled")) as generated:
            async for _ in generated:
                begun.set()

    async def cancelled() -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(listen(begun))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await steps(engine, COUNT, replace(GREEDY, max_tokens=1), "after")

    run(cancelled())


def test_many_requests_run_at_once(engine_and_run: tuple[Engine, Run]) -> None:
    """Each gets its own answer, the same as alone."""
    engine, run = engine_and_run

    async def ids(rid: str) -> list[int]:
        made = await steps(engine, SUM, GREEDY, rid)
        return [token for step in made for token in step.ids]

    async def all_at_once() -> list[list[int]]:
        return await asyncio.gather(*(ids(f"many-{i}") for i in range(16)))

    alone = run(ids("alone"))
    assert run(all_at_once()) == [alone] * 16


def test_a_prompt_over_the_context_is_a_bad_request(engine_and_run: tuple[Engine, Run]) -> None:
    """The engine goes on."""
    engine, run = engine_and_run
    with pytest.raises(BadRequest, match="longer than the"):
        run(steps(engine, [1000] * 131072, GREEDY, "e"))
    assert engine.health() is Health.READY


def test_a_closed_engine_is_dead() -> None:
    """It takes nothing more. (The real one is closed in test_engine_death.py.)"""
    engine = ScriptedEngine([RETURN])
    assert engine.health() is Health.STARTING
    asyncio.run(engine.start())
    asyncio.run(engine.close())
    assert engine.health() is Health.DEAD

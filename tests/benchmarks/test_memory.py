"""The benchmark of memory: what it counts as held, and as growth."""

import asyncio
import tracemalloc
from collections.abc import Iterator

import pytest

from benchmarks.memory import (
    PARTS,
    Counts,
    PausingEngine,
    counts,
    growth,
    growth_figures,
    held,
)
from worker.generation import Sampling

SAMPLING = Sampling(max_tokens=100)


def test_an_engine_pauses_in_the_middle() -> None:
    """After a given number of tokens, until it is told to go on."""

    async def steps_before_and_after() -> tuple[int, int]:
        engine = PausingEngine([1] * 10, 4)
        read = 0

        async def stream() -> None:
            nonlocal read
            async for step in engine.generate([1], SAMPLING, ""):
                read += len(step.ids)

        reading = asyncio.create_task(stream())
        await engine.paused(1)
        before = read
        engine.going_on.set()
        await reading
        return before, read

    assert asyncio.run(steps_before_and_after()) == (4, 10)


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


async def held_by_streams(kilobytes: int, streams: int) -> float:
    """What is measured of streams that hold so much."""
    engine = PausingEngine([1] * 30, 25)

    async def stream() -> None:
        ballast = b""
        async for step in engine.generate([1], SAMPLING, ""):
            ballast = ballast or bytes(1000 * kilobytes)
            assert step.ids
            assert ballast

    async def read_at_once(number: int) -> None:
        await asyncio.gather(*(stream() for _ in range(number)))

    return await held(engine, read_at_once, streams)


@pytest.mark.usefixtures("traced")
def test_what_streams_hold_is_counted_for_each() -> None:
    """While all of them are paused."""
    light, heavy = (asyncio.run(held_by_streams(each, streams=5)) for each in (1, 101))
    assert heavy - light == pytest.approx(100, abs=1)


def test_each_part_of_the_requests_has_a_figure() -> None:
    """After one more, which is not counted."""
    made: list[int] = []

    async def make(requests: int) -> None:
        made.append(requests)

    found = asyncio.run(growth(make, 50))
    assert made == [10] * (PARTS + 1)
    assert len(found) == PARTS + 1


def test_growth_is_reported_for_each_request() -> None:
    """Each count by itself."""
    found = [Counts(1000 * n, 10 * n, n) for n in range(PARTS + 1)]
    figures = growth_figures("worker", found, requests=10 * PARTS)
    assert [figure.values for figure in figures] == [[100.0] * PARTS, [1.0] * PARTS, [0.1] * PARTS]


def test_what_is_kept_is_counted() -> None:
    """In objects and in blocks."""
    before = counts()
    kept = [[number] for number in range(1000)]
    after = counts()
    assert after.objects - before.objects >= len(kept)
    assert after.blocks - before.blocks >= len(kept)

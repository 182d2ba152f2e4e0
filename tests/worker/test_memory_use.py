"""What a stream holds while it runs, and that nothing is left of it.

The engine is scripted, so only the worker's own objects are counted.
"""

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import AsyncGenerator, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_engine import ScriptedEngine, tokens
from worker.api.routes import route_for
from worker.harmony.vocabulary import encode
from worker.job_metrics import JobMetrics
from worker.model import Model
from worker.service import Batch, Service
from worker.settings import Settings

ROUTES = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}]},
    "/v1/responses": {"input": "Hi", "store": False},
    "/v1/messages": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20_000},
}
ANSWER = tokens("<|channel|>analysis<|message|>Hm.<|end|>") + tokens(
    "<|start|>assistant<|channel|>final<|message|>Hello there.<|return|>"
)


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("path", ROUTES)
def test_a_stream_holds_less_than_50_kb(path: str) -> None:
    """In the middle of its answer, beside what the engine holds."""
    assert asyncio.run(_held_by_each(200, path, ROUTES[path])) < 50_000


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("path", ROUTES)
def test_a_stream_of_10000_tokens_holds_less_than_50_kb(path: str) -> None:
    """IDs and texts are kept compressed, as the turn may have to be remembered. The last event of
    `/v1/responses` has the text again, so that takes up to 65 kB."""
    prose = encode((Path(__file__).parents[2] / "docs" / "decisions.md").read_text())
    long = [*tokens("<|channel|>final<|message|>"), *(prose * 10)[:11_000]]

    async def held() -> int:
        of, engine = _service(per_step=10)
        await _drain(await _answer(of, path))  # what is loaded or kept once
        engine.script = long
        _forget(engine)
        before = _traced()
        answer = await _answer(of, path)
        for _ in range(1_000):
            await anext(answer)
        held = _traced() - before - sys.getsizeof(long)  # the engine's copy of its script
        await answer.aclose()
        return held

    assert asyncio.run(held()) < (65_000 if path == "/v1/responses" else 50_000)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("path", ROUTES)
def test_a_stream_does_not_hold_its_history(path: str) -> None:
    """A thousand messages as Python objects are a megabyte; their token IDs suffice."""
    said = [{"role": role, "content": "Hi"} for _ in range(500) for role in ("user", "assistant")]
    history = [*said, {"role": "user", "content": "Hi"}]
    body = {**ROUTES[path], "input" if path == "/v1/responses" else "messages": history}
    assert asyncio.run(_held_by_each(20, path, body)) < 50_000


def test_nothing_grows_over_5000_requests() -> None:
    """Of all APIs in turn. One object left behind by each request would be 4,500 blocks; Python's
    own free lists vary by some hundred."""

    async def growth() -> int:
        of, engine = _service()
        before = 0
        for number, path in zip(range(5000), cycle(ROUTES), strict=False):
            if number == 500:
                before = _blocks()
            await _drain(await _answer(of, path))
            _forget(engine)
        return _blocks() - before

    assert asyncio.run(growth()) < 1500


def _service(per_step: int = 1) -> tuple[Service, ScriptedEngine]:
    engine = ScriptedEngine(ANSWER, per_step=per_step)
    return Service(engine, Model("demo", ("demo",), 131072), Settings()), engine


async def _held_by_each(streams: int, path: str, body: dict[str, Any]) -> float:
    """Bytes after the first step of each, beside the prompt's token IDs."""
    of, engine = _service()
    body = {**body, "stream": True}
    await _drain((await of.read(route_for(path), body)).answer(JobMetrics()))  # what is kept once
    prompt = 8 * len(engine.prompts[0])
    _forget(engine)
    before = _traced()
    exchanges = [await of.read(route_for(path), body) for _ in range(streams)]
    answers = [exchange.answer(JobMetrics()) for exchange in exchanges]
    for answer in answers:
        await anext(answer)
    _forget(engine)
    held = _traced() - before
    for answer in answers:
        await answer.aclose()
    return held / streams - prompt


async def _answer(of: Service, path: str) -> AsyncGenerator[Batch]:
    exchange = await of.read(route_for(path), {**ROUTES[path], "stream": True})
    return exchange.answer(JobMetrics())


async def _drain(answer: AsyncGenerator[Batch]) -> None:
    async for _ in answer:
        pass


def _forget(engine: ScriptedEngine) -> None:
    """Drops the engine's records."""
    for records in (engine.prompts, engine.samplings, engine.aborted):
        records.clear()


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _blocks() -> int:
    """Pieces of memory that Python's allocator has given out."""
    gc.collect()
    return sys.getallocatedblocks()

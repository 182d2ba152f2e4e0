"""The catalogue through the whole worker on the real engine, streamed and not.

The sampler is forced to each case's ids; scheduler, cache, stop handling, stream and API are real.
"""

import asyncio
import sys
from contextlib import aclosing
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.conftest import RealWorker
from tests.support.catalogue import CATALOGUE, Case
from tests.support.forced_engine import ForcedEngine
from worker.api.chat.answer import ChatFold
from worker.api.routes import route_for
from worker.harmony.vocabulary import RETURN, STOP_IDS
from worker.job_metrics import JobMetrics
from worker.service import Service

pytestmark = pytest.mark.slow

CASES = [case for case in CATALOGUE if case.ids and not case.stops_early]
"""The cases that a real engine can produce: it ends a completion at the first stop token."""


def script(case: Case) -> list[int]:
    """The case's ids, ended as by the engine: with a stop token, or by the limit."""
    ends = case.ids[-1] in STOP_IDS or case.cut
    return case.ids if ends else [*case.ids, RETURN]


async def answers(real: RealWorker, case: Case, *, stream: bool) -> list[dict[str, Any]]:
    forced = ForcedEngine(real.engine, [script(case)])
    service = Service(forced, real.model, real.settings)
    body = {
        "messages": [{"role": "user", "content": "Go."}],
        "tools": case.openai_tools or None,
        "max_tokens": len(script(case)),
        "temperature": 0,
        "stream": stream,
    }
    async with aclosing(
        (await service.read(route_for("/v1/chat/completions"), body)).answer(JobMetrics())
    ) as batches:
        return [item async for batch in batches for item in batch]


async def both(real: RealWorker, case: Case) -> tuple[Any, Any]:
    """The case's answer: in one piece, and assembled from its stream."""
    (whole,) = await answers(real, case, stream=False)
    fold = ChatFold()
    for chunk in await answers(real, case, stream=True):
        ChatCompletionChunk.model_validate(chunk)
        fold.add(chunk)
    ChatCompletion.model_validate(whole)
    return whole["choices"][0], fold.whole()["choices"][0]


def told(choice: Any) -> tuple[Any, ...]:
    message = choice["message"]
    calls = tuple(
        (call["function"]["name"], call["function"]["arguments"])
        for call in message["tool_calls"] or ()
    )
    return message["content"], message["reasoning"], calls, choice["finish_reason"]


def expected(case: Case) -> tuple[Any, ...]:
    reason = "length" if case.cut else "tool_calls" if case.calls else "stop"
    return case.content, case.reasoning, case.calls, reason


def test_the_catalogue_parses_the_same_through_the_real_engine(
    real: RealWorker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every case, streamed and not: content, reasoning, calls and finish reason."""

    async def all_of_them() -> list[tuple[Any, Any]]:
        found: list[tuple[Any, Any]] = []
        for at in range(0, len(CASES), 48):
            found += await asyncio.gather(*(both(real, case) for case in CASES[at : at + 48]))
        return found

    found = real.run(all_of_them())
    differences = [
        (case.reason, told(answer), expected(case))
        for case, pair in zip(CASES, found, strict=True)
        for answer in pair
        if told(answer) != expected(case)
    ]
    with capsys.disabled():
        print(
            f"\n{len(CASES)} cases through the engine, twice: {len(differences)} differences",
            file=sys.stderr,
        )
    assert differences == []

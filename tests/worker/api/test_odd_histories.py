"""Mutated items and blocks: whatever a client sends back, a 400 at worst, and never a marker."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from tests.support.odd_histories import messages_body, responses_body
from tests.support.scripted_engine import ScriptedEngine, tokens
from worker.api.dialect import Generate, RawRequest
from worker.api.routes import route_for
from worker.errors import BadRequest
from worker.harmony import render
from worker.harmony.call_ids import CallIds
from worker.harmony.conversation import (
    Called,
    Conversation,
    Instruction,
    Message,
    Result,
    Said,
    Thought,
    User,
)
from worker.harmony.vocabulary import FIRST_SPECIAL
from worker.job_metrics import JobMetrics
from worker.model import Model
from worker.service import Service
from worker.settings import Settings

Object = dict[str, Any]
ANSWER = tokens(
    "<|channel|>analysis<|message|>Hm.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>Sunny.<|return|>"
)


def markers(prompt: list[int]) -> list[int]:
    return [token for token in prompt if token >= FIRST_SPECIAL]


def blank(message: Message) -> Message:
    """The same message with one ordinary token for its text, if it has any."""
    match message:
        case Thought(_, ids):
            return Thought("x", None if ids is None else [1])
        case Called():
            return replace(message, arguments="x")
        case Said() | User() | Instruction() | Result():
            return replace(message, text="x" if message.text else "")


class Asking:
    """A worker, and how many requests it has `answered` and `refused`."""

    def __init__(self) -> None:
        self.engine = ScriptedEngine(ANSWER, per_step=5)
        model = Model("x", ("m",), 8000)
        self.service = Service(self.engine, model, Settings(reasoning_memory_mb=0))
        self.seen: Counter[str] = Counter()

    async def ask(self, path: str, body: Object) -> None:
        """Raises whatever is not the client's fault."""
        route = route_for(path)
        try:
            exchange = await self.service.read(route, body)
            async with aclosing(exchange.answer(JobMetrics())) as batches:
                async for batch in batches:
                    "".join(map(exchange.dialect.event, batch))
        except BadRequest:
            self.seen["refused"] += 1
            return
        self.seen["answered"] += 1
        assert isinstance(route.action, Generate)
        asked = (await route.action.read(RawRequest(body), self.service)).asked()
        self._check(self.engine.prompts.pop(), asked.prompts[0])

    def _check(self, prompt: list[int], conversation: Any) -> None:
        """The prompt's markers are those of the same messages with other texts."""
        assert isinstance(conversation, Conversation)
        messages = CallIds(self.service.capsules, 0).restored(conversation.messages)
        thoughts = [message for message in messages if isinstance(message, Thought)]
        self.seen["exact"] += sum(thought.ids is not None for thought in thoughts)
        blanked = replace(conversation, messages=[*map(blank, messages)])
        assert markers(prompt) == markers(render(blanked))


@pytest.mark.parametrize(
    "count", [pytest.param(300, id="few"), pytest.param(10_000, marks=pytest.mark.slow, id="many")]
)
@pytest.mark.parametrize(
    ("path", "body"), [("/v1/responses", responses_body), ("/v1/messages", messages_body)]
)
def test_a_mutated_history_is_answered_or_refused(
    path: str, body: Callable[[random.Random], Object], count: int
) -> None:
    """No other exception, and no marker but the renderer's own."""

    async def ask_all() -> Counter[str]:
        asking = Asking()
        await asking.engine.start()
        for seed in range(count):
            request = body(random.Random(seed))  # noqa: S311
            try:
                await asking.ask(path, {**request, "stream": seed % 2 == 0})
            except Exception as error:
                raise AssertionError(f"seed {seed}: {request!r:.3000}") from error
        return asking.seen

    seen = asyncio.run(ask_all())
    print(seen)
    assert min(seen["answered"], seen["refused"]) > count // 10
    assert seen["exact"] > count // 10


@pytest.mark.parametrize("field", ["input", "instructions", "user", "tools"])
@pytest.mark.parametrize("store", [True, False])
def test_half_an_emoji_is_a_replacement_character(field: str, store: bool) -> None:
    """JavaScript clients cut texts there; the response repeats its request and is stored."""
    cut = "Hello \ud83d"
    tool = {"type": "function", "name": "f", "description": cut, "parameters": None}
    body = {"input": "Hi.", "store": store, field: [tool] if field == "tools" else cut}

    async def ask() -> Asking:
        asking = Asking()
        await asking.engine.start()
        await asking.ask("/v1/responses", body)
        return asking

    assert asyncio.run(ask()).seen["answered"] == 1

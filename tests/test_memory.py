"""Reasoning memory: a tool loop whose client never sends reasoning back stays token-exact."""

import asyncio
import json
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import pytest

from tests.conftest import RealWorker
from tests.forced_engine import ForcedEngine
from tests.scripted_engine import ScriptedEngine, tokens
from worker.harmony import TurnMemory, message_from_tokens, render_prompt
from worker.harmony.vocabulary import CALL, RETURN
from worker.metrics import JobMetrics
from worker.models import Model
from worker.service import Service
from worker.settings import Settings


def turn_text(number: int) -> str:
    """A turn of its own: some thought, and a call."""
    thought = f"Turn {number}. " + "Paris, I think. " * (number % 7)
    return (
        f"<|channel|>analysis<|message|>{thought}<|end|><|start|>assistant<|channel|>commentary"
        ' to=functions.get_weather <|constrain|>json<|message|>{"location":"Paris"}<|call|>'
    )


TURN = tokens(turn_text(0).replace("Turn 0. ", "Paris, I think."))
TOOLS = [{"type": "function", "function": {"name": "get_weather"}}]


def call(arguments: Any = '{"location": "Paris"}', call_id: str = "call_1") -> dict[str, Any]:
    return {"id": call_id, "function": {"name": "get_weather", "arguments": arguments}}


def memory() -> TurnMemory:
    """One that remembers the turn above."""
    made = TurnMemory(10_000)
    made.remember(["call_1"], TURN)
    return made


def test_a_turn_is_recalled_by_its_call() -> None:
    """With its reasoning, which the client has not sent."""
    assert list(memory().recall([call()], "", None) or ()) == TURN


@pytest.mark.parametrize("arguments", ['{"location":"Paris"}', {"location": "Paris"}])
def test_arguments_may_be_written_anew(arguments: Any) -> None:
    """Clients parse and print them."""
    assert memory().recall([call(arguments)], "", None) is not None


def test_reasoning_that_was_sent_back_unchanged_is_recalled() -> None:
    """The ids that were generated, not those that the text would be encoded to."""
    assert memory().recall([call()], "", "Paris, I think.") is not None


@pytest.mark.parametrize(
    ("calls", "content", "reasoning"),
    [
        ([call('{"location": "Rome"}')], "", None),
        ([call("{broken")], "", None),
        ([call(call_id="call_2")], "", None),
        ([call(), call(call_id="call_2")], "", None),
        ([call()], "Something else.", None),
        ([call()], "", "Another thought."),
        ([], "", None),
    ],
)
def test_what_the_client_changed_is_not_recalled(
    calls: list[dict[str, Any]], content: str, reasoning: str | None
) -> None:
    """The client wins."""
    assert memory().recall(calls, content, reasoning) is None


def test_a_call_that_ended_otherwise_is_recalled_as_a_call() -> None:
    """Its stop token becomes the one that Harmony has for calls."""
    made = TurnMemory(10_000)
    made.remember(["call_1"], [*TURN[:-1], RETURN])
    recalled = made.recall([call()], "", None)
    assert recalled is not None
    assert recalled[-1] == CALL


@pytest.mark.parametrize(
    "harmony",
    [
        "<|channel|>commentary to=functions.get_weather<|call|>",
        (
            "<|channel|>commentary to=functions.get_weather<|message|>{}<|end|>"
            "<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>18<|end|>"
        ),
    ],
)
def test_a_malformed_turn_is_not_remembered(harmony: str) -> None:
    """The model would copy its own mistake."""
    made = TurnMemory(10_000)
    made.remember(["call_1"], tokens(harmony))
    assert len(made) == 0


def test_the_least_recently_used_turns_are_forgotten_first() -> None:
    """The memory is bounded in bytes."""
    made = TurnMemory(1_500)
    for number in range(3):
        made.remember([f"call_{number}"], TURN)
        made.recall([call(call_id="call_0")], "", None)
    assert len(made) == 2
    assert made.recall([call(call_id="call_0")], "", None) is not None
    assert made.recall([call(call_id="call_1")], "", None) is None


def test_a_memory_of_no_size_is_off() -> None:
    """REASONING_MEMORY_MB=0."""
    made = TurnMemory(0)
    made.remember(["call_1"], TURN)
    assert len(made) == 0


async def loop(of: Service, turns: int, tools: list[Any]) -> list[dict[str, Any]]:
    """The usages of a tool loop whose client sends no reasoning back."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Weather in Paris?"}]
    usages: list[dict[str, Any]] = []
    for turn in range(turns):
        body = {"messages": messages, "tools": tools, "temperature": 0}
        async with aclosing(of.answer("/v1/chat/completions", body, JobMetrics())) as batches:
            ((completion,),) = [batch async for batch in batches]
        usages.append(completion["usage"])
        (made,) = completion["choices"][0]["message"]["tool_calls"]
        made["function"]["arguments"] = json.dumps(json.loads(made["function"]["arguments"]))
        messages.append({"role": "assistant", "content": None, "tool_calls": [made]})
        result = f"{turn} °C"
        messages.append({"role": "tool", "tool_call_id": made["id"], "content": result})
    return usages


def test_the_next_prompt_begins_with_the_ids_of_the_last_one() -> None:
    """Also where the client left out the reasoning and printed the arguments anew."""
    engine = ScriptedEngine(TURN)
    model = Model(path="x", names=("demo",), context_length=131072)

    async def run() -> None:
        await engine.start()
        await loop(Service(engine, model, Settings()), 200, TOOLS)

    asyncio.run(run())
    for before, after in zip(engine.prompts, engine.prompts[1:], strict=False):
        assert after[: len(before) + len(TURN)] == before + TURN
    assert len(engine.prompts) == 200


def test_switched_off_the_prompt_has_what_the_client_sent() -> None:
    """Without reasoning."""
    engine = ScriptedEngine(TURN)
    model = Model(path="x", names=("demo",), context_length=131072)

    async def run() -> None:
        await engine.start()
        await loop(Service(engine, model, Settings(reasoning_memory_mb=0)), 2, TOOLS)

    asyncio.run(run())
    turn = message_from_tokens(TURN, TOOLS)
    del turn["reasoning"], turn["reasoning_content"]
    (made,) = turn["tool_calls"]
    made["function"]["arguments"] = '{"location": "Paris"}'
    result = {"role": "tool", "tool_call_id": made["id"], "content": "0 °C"}
    messages = [{"role": "user", "content": "Weather in Paris?"}, turn, result]
    assert engine.prompts[1] == render_prompt({"messages": messages, "tools": TOOLS})


def test_in_a_loop_of_fifty_turns_nearly_everything_comes_from_the_cache(
    real: RealWorker, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the real engine: each turn's cached tokens are 99 % of the last prompt and completion."""
    forced = ForcedEngine(real.engine, [tokens(turn_text(number)) for number in range(50)])
    usages = real.run(loop(Service(forced, real.model, real.settings), 50, TOOLS))
    shares = [
        after["prompt_tokens_details"]["cached_tokens"] / before["total_tokens"]
        for before, after in pairwise(usages)
    ]
    with capsys.disabled():
        curve = " ".join(f"{share:.4f}" for share in shares[::7])
        print(
            f"\n50 turns, {usages[-1]['total_tokens']} tokens; cached of the last turn's: {curve}"
        )
    assert min(shares) >= 0.99

"""Reasoning memory: a tool loop whose client never sends reasoning back stays token-exact."""

import asyncio
import json
import random
import sys
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_harmony import Role

from tests.conftest import RealWorker
from tests.support.conversations import conversation
from tests.support.forced_engine import ForcedEngine
from tests.support.scripted_engine import ScriptedEngine, tokens
from worker.api.chat import message_from_tokens, render_prompt
from worker.api.routes import route_for
from worker.generation import Step
from worker.harmony import Parser, TurnMemory
from worker.harmony.conversation import Called, Message, Said, Thought
from worker.harmony.vocabulary import CALL, CHANNEL, END, RETURN, START, encode, encoding
from worker.job_metrics import JobMetrics
from worker.model import Model
from worker.service import Service
from worker.settings import Settings
from worker.turn import Turn, TurnOptions


def turn_text(number: int) -> str:
    """A unique turn: some reasoning and a call."""
    thought = f"Turn {number}. " + "Paris, I think. " * (number % 7)
    return (
        f"<|channel|>analysis<|message|>{thought}<|end|><|start|>assistant<|channel|>commentary"
        ' to=functions.get_weather <|constrain|>json<|message|>{"location":"Paris"}<|call|>'
    )


TURN = tokens(turn_text(0).replace("Turn 0. ", "Paris, I think."))
TOOLS = [{"type": "function", "function": {"name": "get_weather"}}]


def call(arguments: str = '{"location": "Paris"}', call_id: str = "call_1") -> Called:
    return Called("get_weather", arguments, call_id)


def told(ids: list[int], call_id: str = "call_1") -> list[Message]:
    """The messages that a client got for these ids, with this call id."""
    turn = Turn(Parser(TOOLS, call_id=lambda: call_id), TurnOptions())
    turn.take(Step(ids, "stop"))
    return turn.messages


def recalled(made: TurnMemory, *messages: Message) -> list[int] | None:
    """The ids recalled for these messages, which must all be part of the turn."""
    found = made.recall(messages)
    if found is None:
        return None
    assert found.message_count == len(messages)
    return list(found.ids)


def memory() -> TurnMemory:
    """A memory that contains `TURN`."""
    made = TurnMemory(10_000)
    made.remember(told(TURN), TURN)
    return made


def test_a_turn_is_recalled_by_its_call() -> None:
    """With its reasoning, which the client did not send."""
    assert recalled(memory(), call()) == TURN


def test_arguments_may_be_reformatted() -> None:
    """Clients parse and reserialize them."""
    assert recalled(memory(), call('{ "location":"Paris"}')) == TURN


def test_reasoning_that_was_sent_back_unchanged_is_recalled() -> None:
    """With the generated ids, not those that the text would be encoded to."""
    assert recalled(memory(), Thought("Paris, I think."), call()) == TURN


def test_what_follows_a_remembered_turn_is_left_to_the_caller() -> None:
    """A client that got two turns without a result in between sends them as one sequence."""
    found = memory().recall([call(), Thought("Hm."), call(call_id="call_2")])
    assert found is not None
    assert (found.message_count, list(found.ids)) == (1, TURN)


@pytest.mark.parametrize(
    "messages",
    [
        [call('{"location": "Rome"}')],
        [call("{broken")],
        [call(call_id="call_2")],
        [Said("Something else.", "commentary"), call()],
        [Thought("Another thought."), call()],
        [Said("It is sunny.")],
        [],
    ],
)
def test_what_the_client_changed_is_not_recalled(messages: list[Message]) -> None:
    """The client wins."""
    assert memory().recall(messages) is None


def test_a_call_with_another_stop_token_is_recalled_as_a_call() -> None:
    """Its stop token is replaced by the one for calls."""
    made = TurnMemory(10_000)
    made.remember(told(TURN), [*TURN[:-1], RETURN])
    assert recalled(made, call()) == [*TURN[:-1], CALL]


@pytest.mark.parametrize(
    "harmony",
    [
        "<|channel|>commentary to=functions.get_weather<|call|>",
        (
            "<|channel|>commentary to=functions.get_weather<|message|>{}<|end|>"
            "<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>18<|end|>"
        ),
        "<|channel|>commentary to=get_weather <|constrain|>json<|message|>{}<|call|>",
        "<|channel|>commentary to=functions.getWeather <|constrain|>json<|message|>{}<|call|>",
        "<|channel|>analysis to=functions.get_weather json<|message|>{}",
        "<|channel|>commentary to=functions.get_weather ?? json<|message|>{}<|call|>",
        "<|channel|>analysis<|message|>a<|channel|>commentary to=functions.get_weather{}<|call|>",
    ],
)
def test_a_malformed_turn_is_not_remembered(harmony: str) -> None:
    """The model would copy its own mistake."""
    made = TurnMemory(10_000)
    made.remember(told(tokens(harmony)), tokens(harmony))
    assert len(made) == 0


@given(st.integers(0, 2**32))
def test_what_is_remembered_is_what_openai_harmony_reads(seed: int) -> None:
    """Of random well-formed turns, whole or with one token changed, no malformed one is remembered,
    only turns that consist of the assistant's reasoning and one call."""
    rng = random.Random(seed)  # noqa: S311 - a seed's turns are the same every time
    ids = [*conversation(rng)]
    if rng.random() < 0.5:
        ids[rng.randrange(len(ids))] = rng.choice(
            [*encode("? to= final json"), END, START, CHANNEL]
        )
    made, messages = TurnMemory(10**6), told(ids)
    made.remember(messages, ids)
    if len(made):
        read = encoding().parse_messages_from_completion_tokens(ids, Role.ASSISTANT)
        assert {m.author.role for m in read} == {Role.ASSISTANT}
        recipients = [m.recipient.removeprefix("functions.") for m in read if m.recipient]
        assert recipients == [each.name for each in messages if isinstance(each, Called)]


@given(st.integers(0, 2**32))
def test_a_turn_as_gpt_oss_was_trained_to_write_it_is_remembered(seed: int) -> None:
    """Reasoning, a preamble, and one call in any form that the model was trained on."""
    rng = random.Random(seed)  # noqa: S311
    header = rng.choice(
        [
            "<|channel|>commentary to=functions.f <|constrain|>json<|message|>",
            "<|channel|>commentary to=functions.f json<|message|>",
            "<|channel|>analysis to=functions.f code<|message|>",
            " to=functions.f<|channel|>commentary <|constrain|>json<|message|>",
            "<|channel|>commentary to=functions.f<|message|>",
            "<|channel|>analysis to=python code<|message|>",
        ]
    )
    before = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant" * rng.randrange(3)
    preamble = "<|channel|>commentary<|message|>Let me see.<|end|><|start|>assistant"
    ids = tokens(before + preamble * rng.randrange(2) + header + '{"a": 1}<|call|>')
    made, messages = TurnMemory(10**6), told(ids)
    made.remember(messages, ids)
    assert recalled(made, *(each for each in messages if not isinstance(each, Thought))) == ids


def test_the_least_recently_used_turns_are_forgotten_first() -> None:
    """The memory is bounded in bytes."""
    made = TurnMemory(1_500)
    for number in range(3):
        made.remember(told(TURN, f"call_{number}"), TURN)
        made.recall([call(call_id="call_0")])
    assert len(made) == 2
    assert made.recall([call(call_id="call_0")]) is not None
    assert made.recall([call(call_id="call_1")]) is None


def test_a_memory_of_size_zero_is_off() -> None:
    """REASONING_MEMORY_MB=0."""
    made = TurnMemory(0)
    made.remember(told(TURN), TURN)
    assert len(made) == 0


async def loop(of: Service, turns: int, tools: list[Any]) -> list[dict[str, Any]]:
    """The usages of a tool loop whose client sends no reasoning back."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Weather in Paris?"}]
    usages: list[dict[str, Any]] = []
    for turn in range(turns):
        body = {"messages": messages, "tools": tools, "temperature": 0}
        async with aclosing(
            (await of.read(route_for("/v1/chat/completions"), body)).answer(JobMetrics())
        ) as batches:
            ((completion,),) = [batch async for batch in batches]
        usages.append(completion["usage"])
        (made,) = completion["choices"][0]["message"]["tool_calls"]
        made["function"]["arguments"] = json.dumps(json.loads(made["function"]["arguments"]))
        messages.append({"role": "assistant", "content": None, "tool_calls": [made]})
        result = f"{turn} °C"
        messages.append({"role": "tool", "tool_call_id": made["id"], "content": result})
    return usages


def test_the_next_prompt_begins_with_the_ids_of_the_last_one() -> None:
    """Even if the client left out the reasoning and reformatted the arguments."""
    engine = ScriptedEngine(TURN)
    model = Model(path="x", names=("demo",), context_length=131072)

    async def run() -> None:
        await engine.start()
        await loop(Service(engine, model, Settings()), 200, TOOLS)

    asyncio.run(run())
    for before, after in zip(engine.prompts, engine.prompts[1:], strict=False):
        assert after[: len(before) + len(TURN)] == before + TURN
    assert len(engine.prompts) == 200


def test_without_memory_the_prompt_has_what_the_client_sent() -> None:
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


@pytest.mark.slow
def test_in_a_loop_of_fifty_turns_nearly_everything_comes_from_the_cache(
    real: RealWorker, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the real engine: 99 % of the previous prompt and completion are cached in each turn."""
    forced = ForcedEngine(real.engine, [tokens(turn_text(number)) for number in range(50)])
    usages = real.run(loop(Service(forced, real.model, real.settings), 50, TOOLS))
    shares = [
        after["prompt_tokens_details"]["cached_tokens"] / before["total_tokens"]
        for before, after in pairwise(usages)
    ]
    with capsys.disabled():
        curve = " ".join(f"{share:.4f}" for share in shares[::7])
        print(
            f"\n50 turns, {usages[-1]['total_tokens']} tokens; cached of the last turn's: {curve}",
            file=sys.stderr,
        )
    assert min(shares) >= 0.99

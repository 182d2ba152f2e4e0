"""Sessions over several workers: what a client carries is enough, whoever answers its next turn."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from tests.support.scripted_engine import ScriptedEngine, tokens
from worker.api.anthropic.request import CountRequest
from worker.api.fields import read
from worker.api.routes import route_for
from worker.errors import NotFound
from worker.harmony.capsule import Capsules
from worker.harmony.vocabulary import encode, encoding
from worker.job_metrics import JobMetrics
from worker.model import Model
from worker.service import Service
from worker.settings import Settings

MESSAGES = "/v1/messages"
KEYS = ("k" * 32, "l" * 32)
TOOLS = [{"name": "get_weather", "input_schema": {"type": "object"}}]
OMITTED = {"type": "adaptive", "display": "omitted"}
# As the model's own tokens need not be those of the encoder, "weather" is in two pieces here.
THOUGHT = [*encode("I need the wea"), *encode("ther"), *encode(" \N{THINKING FACE}.")]
CALL = [
    *tokens("<|channel|>analysis<|message|>"),
    *THOUGHT,
    *tokens("<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather "),
    *tokens('<|constrain|>json<|message|>{"city":"Paris"}<|call|>'),
]


def worker(script: list[int] = CALL, **settings: Any) -> tuple[Service, ScriptedEngine]:
    """A service that shares nothing with another, and remembers nothing."""
    engine = ScriptedEngine(script)
    model = Model(path="x", names=("gpt-oss",), context_length=5000)
    return Service(engine, model, Settings(reasoning_memory_mb=0, **settings)), engine


def answered(of: Service, body: dict[str, Any], path: str = MESSAGES) -> dict[str, Any]:
    async def ask() -> list[dict[str, Any]]:
        await of.engine.start()
        exchange = await of.read(route_for(path), body)
        async with aclosing(exchange.answer(JobMetrics())) as batches:
            return [item async for batch in batches for item in batch]

    (message,) = asyncio.run(ask())
    return message


def request(**fields: Any) -> dict[str, Any]:
    question = {"role": "user", "content": "Paris?"}
    return {"messages": [question], "max_tokens": 100, "tools": TOOLS, **fields}


def next_turn(first: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    """The request with a message's call answered, as clients send it: what they got, verbatim."""
    (call,) = [block for block in message["content"] if block["type"] == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "sunny"}
    turn = {"role": "assistant", "content": message["content"]}
    return {**first, "messages": [*first["messages"], turn, {"role": "user", "content": [result]}]}


def contains(ids: list[int], part: list[int]) -> bool:
    return any(ids[at : at + len(part)] == part for at in range(len(ids)))


def analysis(ids: list[int]) -> list[int]:
    return [*tokens("<|start|>assistant<|channel|>analysis<|message|>"), *ids, *tokens("<|end|>")]


@pytest.mark.parametrize("thinking", [None, {"type": "enabled", "budget_tokens": 1024}, OMITTED])
@pytest.mark.parametrize("keys", [(), KEYS])
def test_another_worker_reads_the_exact_thinking(thinking: Any, keys: tuple[str, ...]) -> None:
    """Token by token, also where the client never saw its text; sealed, if there are keys."""
    settings: dict[str, Any] = {"state_keys": keys} if keys else {}
    (first, one), (second, two) = worker(**settings), worker(**settings)
    asked = request(thinking=thinking)
    message = answered(first, asked)
    assert message["stop_reason"] == "tool_use"
    shown = message["content"][0]["thinking"]
    assert shown == ("" if thinking == OMITTED else "I need the weather \N{THINKING FACE}.")
    answered(second, next_turn(asked, message))
    assert encode("I need the weather \N{THINKING FACE}.") != THOUGHT
    prefix = one.prompts[0][:-2]
    assert two.prompts[0][: len(prefix)] == prefix
    assert contains(two.prompts[0], analysis(THOUGHT))


def test_a_key_may_be_rotated_between_the_turns() -> None:
    """The new one seals, both open."""
    (first, _), (second, two) = worker(state_keys=KEYS[1:]), worker(state_keys=KEYS)
    asked = request(thinking=OMITTED)
    answered(second, next_turn(asked, answered(first, asked)))
    assert contains(two.prompts[0], analysis(THOUGHT))


@pytest.mark.parametrize("damage", ["", "x", "EqQBCkYIBhgCKkA=", "é", "A" * 10_000])
def test_thinking_that_cannot_be_opened_costs_no_more_than_itself(damage: str) -> None:
    """The text stands in, where the client has it; a session never fails for a signature."""
    for thinking, kept in ((None, True), (OMITTED, False)):
        (first, _), (second, two) = worker(), worker()
        asked = request(thinking=thinking)
        message = answered(first, asked)
        message["content"][0]["signature"] = damage
        answered(second, next_turn(asked, message))
        text = analysis(encode("I need the weather \N{THINKING FACE}."))
        assert contains(two.prompts[0], text) is kept
        assert contains(two.prompts[0], tokens("<|channel|>analysis")) is kept


def test_a_lost_key_costs_the_ids_alone() -> None:
    """The text is there."""
    (first, _), (second, two) = worker(state_keys=KEYS[:1]), worker(state_keys=KEYS[1:])
    asked = request()
    answered(second, next_turn(asked, answered(first, asked)))
    assert contains(two.prompts[0], analysis(encode("I need the weather \N{THINKING FACE}.")))


def test_redacted_thinking_is_tried_as_a_signature() -> None:
    """And dropped, if it is another server's."""
    (first, _), (second, two) = worker(), worker()
    asked = request()
    message = answered(first, asked)
    thinking = message["content"][0]
    for data, found in ((thinking["signature"], True), ("another server's", False)):
        message["content"][0] = {"type": "redacted_thinking", "data": data}
        answered(second, next_turn(asked, message))
        assert contains(two.prompts[-1], analysis(THOUGHT)) is found


def test_thinking_before_an_answer_is_dropped() -> None:
    """As Harmony wants it."""
    final = tokens(
        "<|channel|>analysis<|message|>Old.<|end|><|start|>assistant<|channel|>final<|message|>Hi."
    )
    (first, _), (second, two) = worker(final), worker()
    asked = request()
    content: list[Any] = answered(first, asked)["content"]
    assert [block["type"] for block in content] == ["thinking", "text"]
    turn = {"role": "assistant", "content": content}
    more = [*asked["messages"], turn, {"role": "user", "content": "And?"}]
    answered(second, {**asked, "messages": more})
    shown = encoding().decode(two.prompts[0])
    assert "Old." not in shown
    assert "<|channel|>final<|message|>Hi.<|end|>" in shown


class NotedCapsules(Capsules):
    """Notes what it is given to open."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[str] = []

    def open(self, capsule: str) -> list[int] | None:
        self.given.append(capsule)
        return super().open(capsule)


def test_thinking_before_an_answer_is_not_even_opened() -> None:
    """A long session has hundreds of signatures."""

    def thought(signature: str) -> dict[str, str]:
        return {"type": "thinking", "thinking": "", "signature": signature}

    call = {"type": "tool_use", "id": "1", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": "r"}
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [thought("a"), call]},
        {"role": "user", "content": [result]},
        {"role": "assistant", "content": [thought("b"), {"type": "text", "text": "Done."}]},
        {"role": "user", "content": "q2"},
        {"role": "assistant", "content": [thought("c"), {**call, "id": "2"}]},
        {"role": "user", "content": [{**result, "tool_use_id": "2"}]},
    ]
    capsules = NotedCapsules()
    read(CountRequest, {"messages": messages}).conversation(capsules)
    assert capsules.given == ["c"]


def test_one_worker_recalls_the_whole_turn() -> None:
    """Its memory knows the call as it was written, by the id that the client got."""
    engine = ScriptedEngine(CALL)
    service = Service(engine, Model("x", ("gpt-oss",), 5000), Settings())
    for thinking in (None, OMITTED, {"type": "disabled"}):
        asked = request(thinking=thinking)
        message = answered(service, asked)
        assert message["content"][-1]["id"].startswith("toolu_")
        answered(service, next_turn(asked, message))
        assert contains(engine.prompts[-1], [*tokens("<|start|>assistant"), *CALL])


@pytest.mark.parametrize("thinking", [None, OMITTED, {"type": "disabled"}])
def test_a_count_is_the_prompt_of_the_same_request(thinking: Any) -> None:
    """Of every turn of a loop: what was not cached and what was."""
    service, engine = worker()
    asked = request(
        thinking=thinking, system="Be brief.", output_config={"effort": "low"}, stream=False
    )
    for _ in range(3):
        counted = answered(service, asked, f"{MESSAGES}/count_tokens")
        message = answered(service, asked)
        usage = message["usage"]
        assert counted == {"input_tokens": usage["input_tokens"] + usage["cache_read_input_tokens"]}
        assert counted["input_tokens"] == len(engine.prompts[-1])
        assert usage["cache_read_input_tokens"] > 0
        asked = next_turn(asked, message)


def test_what_fills_the_context_says_so() -> None:
    """Where the context, not max_tokens, was the limit: a client then makes room."""
    script = [*tokens("<|channel|>final<|message|>"), *encode(" word") * 6000]
    service, engine = worker(script)
    assert answered(service, request(max_tokens=50))["stop_reason"] == "max_tokens"
    message = answered(service, request(max_tokens=32_000))
    assert message["stop_reason"] == "model_context_window_exceeded"
    prompt = len(engine.prompts[-1])
    assert prompt + message["usage"]["output_tokens"] == 4999  # one place is SGLang's


def test_a_count_needs_no_engine() -> None:
    """And no room in the context: it says how much too long a prompt is."""
    service, engine = worker()
    long = [{"role": "user", "content": "word " * 6000}]
    counted = answered(service, {"messages": long}, f"{MESSAGES}/count_tokens")
    assert counted["input_tokens"] > 6000
    assert engine.prompts == []


def test_a_count_of_an_unknown_model_is_an_error() -> None:
    """As its message would be."""
    service, _ = worker()
    body = request(model="claude-opus-4")
    for path in (MESSAGES, f"{MESSAGES}/count_tokens"):
        with pytest.raises(NotFound, match="claude-opus-4"):
            answered(service, body, path)

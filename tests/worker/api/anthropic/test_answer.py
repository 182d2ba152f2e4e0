"""Answers: events of a stream, and the message that they add up to, read by Anthropic's types."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
from anthropic import NOT_GIVEN
from anthropic.lib.streaming._beta_messages import accumulate_event as accumulate_beta
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from builder.openapi.answers import MESSAGE_EVENTS
from builder.openapi.answers import Message as MessageAsDescribed
from tests.support.catalogue import CATALOGUE, Case
from tests.support.openapi import DOCUMENT, check
from tests.support.scripted_engine import steps, tokens
from worker.api.anthropic import wire
from worker.api.anthropic.answer import MessagesFold
from worker.api.anthropic.request import AskedMessage, MessagesRequest
from worker.api.dialect import Head
from worker.api.fields import read
from worker.errors import EngineOverloaded, ServerError
from worker.generation import FinishReason, Step
from worker.harmony import Parser
from worker.harmony.capsule import Capsules
from worker.harmony.vocabulary import FIRST_SPECIAL
from worker.turn import Turn

THINK = "<|channel|>analysis<|message|>Two and two.<|end|><|start|>assistant"
ANSWER = f"{THINK}<|channel|>final<|message|>It is 4, of course.<|return|>"
CALL = (
    f"{THINK}<|channel|>commentary<|message|>Let me look.<|end|><|start|>assistant"
    '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"location": '
    '"Paris"}<|call|>'
)
TOOLS = [
    {"name": "get_weather", "input_schema": {"type": "object"}},
    {"name": "get_time", "input_schema": {"type": "object"}},
]
CAPSULES = Capsules()
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
BETA_EVENT: TypeAdapter[Any] = TypeAdapter(BetaRawMessageStreamEvent)
DESCRIBED = {
    "anyOf": [{"$ref": f"#/components/schemas/{each.__name__}"} for each in MESSAGE_EVENTS]
}


def events(
    made: list[Step], tools: list[str] | None = None, *, context_full: bool = False, **fields: Any
) -> list[dict[str, Any]]:
    """The events of a request with these fields, each of them valid."""
    offered = TOOLS if tools is None else [{"name": n, "input_schema": {}} for n in tools]
    body = {"messages": [{"role": "user", "content": "q"}], "max_tokens": 99, "tools": offered}
    request = AskedMessage(read(MessagesRequest, {**body, **fields}), CAPSULES)
    asked, answer = request.asked(), request.answer(Head("1", "demo", 1))
    parser = Parser(request.request.conversation(CAPSULES).wanted.tools)
    turn = Turn(parser, asked.options, limited_by_context=context_full)
    out: list[dict[str, Any]] = []
    for step in made:
        out += answer.take(0, turn.take(step))
        if turn.ending is not None:
            break
    out += asyncio.run(answer.close(turn.usage))
    for event in out:
        EVENT.validate_python(event)
        BETA_EVENT.validate_python(event)
        check(DESCRIBED, event)
    return out


def whole(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that events add up to, which is valid."""
    fold = MessagesFold()
    for item in items:
        fold.add(item)
    message = fold.whole()
    Message.model_validate(message)
    BetaMessage.model_validate(message)
    check({"$ref": f"#/components/schemas/{MessageAsDescribed.__name__}"}, message)
    assert DOCUMENT["components"]["schemas"]["Message"]
    return message


def read_by_sdk(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that Anthropic's own stream helpers make of events."""
    snapshot: Any = None
    beta: Any = None
    buffers: dict[int, bytes] = {}
    beta_buffers: dict[int, bytes] = {}
    for item in items:
        snapshot = accumulate_event(
            event=EVENT.validate_python(item),
            current_snapshot=snapshot,
            json_bufs=buffers,
            output_format=NOT_GIVEN,
        )
        beta = accumulate_beta(
            event=BETA_EVENT.validate_python(item),
            current_snapshot=beta,
            json_bufs=beta_buffers,
            request_headers=httpx2.Headers(),
            output_format=NOT_GIVEN,
        )
    made = snapshot.to_dict()
    assert beta.to_dict() == made
    assert made.pop("stop_details") is None  # the helpers add it
    return made


def kinds(items: list[dict[str, Any]]) -> list[str]:
    """The events in short: `start text`, `text_delta`, `stop`, … with runs of deltas as one."""
    short: list[str] = []
    for item in items:
        match item:
            case {"type": "content_block_start", "content_block": {"type": kind}}:
                word = f"start {kind}"
            case {"type": "content_block_delta", "delta": {"type": kind}}:
                word = kind
            case {"type": "content_block_stop"}:
                word = "stop"
            case _:
                word = item["type"]
        if not (short and short[-1] == word and word.endswith("_delta")):
            short.append(word)
    return short


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_events_of_an_answer(size: int) -> None:
    """Thinking with its signature, then the text; each block is closed before the next."""
    items = events(steps(tokens(ANSWER), [size]))
    assert kinds(items) == [
        "message_start",
        *("start thinking", "thinking_delta", "signature_delta", "stop"),
        *("start text", "text_delta", "stop"),
        "message_delta",
        "message_stop",
    ]
    assert [i["index"] for i in items if i["type"] == "content_block_start"] == [0, 1]
    start, delta = items[0]["message"], items[-2]
    assert start["id"] == "msg_1"
    assert start["usage"] == {
        "input_tokens": 10,
        "cache_read_input_tokens": 40,
        "cache_creation_input_tokens": 0,
        "output_tokens": 1,
    }
    assert delta["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert delta["usage"] == {
        **start["usage"],
        "output_tokens": len(tokens(ANSWER)),
        "output_tokens_details": {"thinking_tokens": len(tokens("Two and two."))},
    }


def test_a_signature_holds_the_exact_ids_of_its_thinking() -> None:
    """And of nothing else."""
    message = whole(events(steps(tokens(ANSWER), [3])))
    thinking, text = message["content"]
    assert thinking["thinking"] == "Two and two."
    assert CAPSULES.open(thinking["signature"]) == tokens("Two and two.")
    assert text == {"type": "text", "text": "It is 4, of course."}


def test_thinking_that_is_omitted_is_a_signature_alone() -> None:
    """Claude Code asks for that in every request."""
    omitted = {"type": "adaptive", "display": "omitted"}
    items = events(steps(tokens(ANSWER), [1]), thinking=omitted)
    assert "thinking_delta" not in kinds(items)
    thinking, text = whole(items)["content"]
    assert thinking["thinking"] == ""
    assert CAPSULES.open(thinking["signature"]) == tokens("Two and two.")
    assert text["text"] == "It is 4, of course."


def test_thinking_that_is_disabled_is_not_shown() -> None:
    """It counts, since gpt-oss always thinks."""
    message = whole(events(steps(tokens(ANSWER), [1]), thinking={"type": "disabled"}))
    assert [block["type"] for block in message["content"]] == ["text"]
    assert message["usage"]["output_tokens_details"]["thinking_tokens"] > 0


@pytest.mark.parametrize("size", [1, 1000])
def test_a_preamble_is_a_text_before_the_call(size: int) -> None:
    """The call's arguments are streamed as they are written."""
    items = events(steps(tokens(CALL), [size]))
    assert kinds(items) == [
        "message_start",
        *("start thinking", "thinking_delta", "signature_delta", "stop"),
        *("start text", "text_delta", "stop"),
        *("start tool_use", "input_json_delta", "stop"),
        "message_delta",
        "message_stop",
    ]
    _, text, call = whole(items)["content"]
    assert text == {"type": "text", "text": "Let me look."}
    assert call["name"] == "get_weather"
    assert call["input"] == {"location": "Paris"}
    assert items[-2]["delta"]["stop_reason"] == "tool_use"


def calls(*arguments: str) -> list[int]:
    header = "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
    return tokens("<|call|><|start|>assistant".join(header + each for each in arguments))


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ("{}", {}),
        ("", {}),
        ("get_weather Paris", {"raw": "get_weather Paris"}),
        ('"just text"', {"raw": '"just text"'}),
        ("[1]", {"raw": "[1]"}),
        ('{"a": ', {"raw": '{"a": '}),
        ('{"a": NaN}', {"raw": '{"a": NaN}'}),
        ('{"a": "\\ud83d"}', {"raw": '{"a": "\\ud83d"}'}),
        ('{"a": ' + "[" * 120 + "]" * 120 + "}", {"raw": '{"a": ' + "[" * 120 + "]" * 120 + "}"}),
    ],
)
def test_a_whole_call_has_an_object_as_its_input(arguments: str, value: Any) -> None:
    """What is no object, or none that can be sent on, is kept as text."""
    message = whole(events(steps([*calls(arguments), *tokens("<|call|>")], [4])))
    assert message["content"][-1]["input"] == value
    wire.event(message)


def test_a_number_of_any_length_can_be_sent_on() -> None:
    """Beyond 64 bits as a float."""
    message = whole(events(steps([*calls('{"a": 1' + "0" * 30 + "}"), *tokens("<|call|>")], [9])))
    assert message["content"][-1]["input"] == {"a": 1e30}
    assert json.loads(wire.event(message).partition("data: ")[2])["content"] == message["content"]


def test_without_parallel_calls_the_message_ends_before_a_second_one() -> None:
    """Both come where the client does not mind."""
    made = steps([*calls('{"n": 1}', '{"n": 2}'), *tokens("<|call|>")], [3])
    one = {"type": "auto", "disable_parallel_tool_use": True}
    assert [b["input"] for b in whole(events(made, tool_choice=one))["content"]] == [{"n": 1}]
    both = whole(events(made))
    assert [b["input"] for b in both["content"]] == [{"n": 1}, {"n": 2}]
    assert both["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("reason", "fields", "full", "expected"),
    [
        ("stop", {}, False, ("end_turn", None)),
        ("length", {}, False, ("max_tokens", None)),
        ("length", {}, True, ("model_context_window_exceeded", None)),
        ("stop", {"stop_sequences": ["never", "of course"]}, False, ("stop_sequence", "of course")),
    ],
)
def test_the_reasons_to_stop(
    reason: FinishReason, fields: dict[str, Any], full: bool, expected: tuple[str, str | None]
) -> None:
    """A stop sequence is named; what filled the context is not the request's limit."""
    made = steps(tokens(ANSWER), [2], reason)
    message = whole(events(made, context_full=full, **fields))
    assert (message["stop_reason"], message["stop_sequence"]) == expected
    if expected[1] is not None:
        assert message["content"][-1]["text"] == "It is 4, "


def test_what_is_cut_off_is_closed() -> None:
    """Thinking has a signature of what there is of it."""
    message = whole(events(steps(tokens("<|channel|>analysis<|message|>Two and"), [1], "length")))
    (thinking,) = message["content"]
    assert CAPSULES.open(thinking["signature"]) == tokens("Two and")
    assert message["stop_reason"] == "max_tokens"


def test_a_failure_is_the_last_event() -> None:
    """Claude Code goes on by itself at an overloaded_error."""
    request = read(
        MessagesRequest, {"messages": [{"role": "user", "content": "q"}], "max_tokens": 9}
    )
    answer = AskedMessage(request, CAPSULES).answer(Head("1", "demo", 1))
    for error, kind in [
        (EngineOverloaded("full"), "overloaded_error"),
        (ServerError("ending", code="worker_ending"), "overloaded_error"),
        (ServerError("It broke."), "api_error"),
    ]:
        (item,) = answer.failed(error)
        assert item == {"type": "error", "error": {"type": kind, "message": error.message}}
        check(DESCRIBED, item)


def test_a_silent_stream_is_kept_open_by_pings() -> None:
    """An event that clients skip."""
    request = read(
        MessagesRequest, {"messages": [{"role": "user", "content": "q"}], "max_tokens": 9}
    )
    (item,) = AskedMessage(request, CAPSULES).answer(Head("1", "demo", 1)).keep_alive()
    assert wire.event(item) == 'event: ping\ndata: {"type":"ping"}\n\n'


@pytest.mark.parametrize("size", [2, 3, 10, 1000])
def test_a_delta_can_be_halved(size: int) -> None:
    """For deliveries of a limited size: the halves add up to the same message."""
    items = events(steps(tokens(CALL), [size]))
    both = [half for item in items for half in wire.split(item) or (item,)]
    assert len(both) > len(items)
    assert whole(both) == whole(items)
    assert wire.split(items[0]) is None


def without_ids(message: dict[str, Any]) -> dict[str, Any]:
    content = [{**b, "id": "any"} if b["type"] == "tool_use" else b for b in message["content"]]
    return {**message, "content": content}


def said(case: Case) -> tuple[str, str, list[tuple[str, Any]]]:
    """What a case should come to: the text, the thinking, the calls."""
    expected = [(name, _input(arguments)) for name, arguments in case.calls]
    return case.content or "", case.reasoning or "", expected


def _input(arguments: str) -> Any:
    """What JSON can say is an object; NaN and what no double holds, it cannot."""
    try:
        value = json.loads(arguments or "{}")
        json.dumps(value, allow_nan=False)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"raw": arguments}


@pytest.mark.parametrize("case", CATALOGUE, ids=lambda case: case.reason)
@pytest.mark.parametrize("shown", ["summarized", "omitted"])
def test_any_output_makes_a_valid_message(case: Case, shown: str) -> None:
    """Well-formed or not: nothing is lost, and the events add up, for Anthropic's helpers too."""
    reason = "length" if case.cut else "stop"
    thinking = {"type": "adaptive", "display": shown}
    items = events(steps(case.ids, [1], reason), list(case.tools), thinking=thinking)
    message = whole(items)
    blocks = message["content"]
    text = "".join(b["text"] for b in blocks if b["type"] == "text")
    thought = "".join(b["thinking"] for b in blocks if b["type"] == "thinking")
    made = [(b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"]
    content, reasoning, expected = said(case)
    assert (text, made) == (content, expected)
    assert thought == (reasoning if shown == "summarized" else "")
    if all("raw" not in arguments for _, arguments in made):
        assert read_by_sdk(items) == message


@given(
    st.sampled_from(CATALOGUE),
    st.lists(st.integers(1, 9), min_size=1),
    st.sampled_from(["summarized", "omitted"]),
    st.booleans(),
)
def test_any_split_makes_the_same_message(
    case: Case, sizes: list[int], shown: str, searched: bool
) -> None:
    """Blocks are numbered without a gap, opened and closed one after the other, and the signatures
    hold ordinary ids alone."""
    thinking = {"type": "enabled", "budget_tokens": 1024, "display": shown}
    fields: dict[str, Any] = {"stop_sequences": ["xyz"]} if searched else {}
    reason = "length" if case.cut else "stop"
    items, at_once = (
        events(steps(case.ids, each, reason), list(case.tools), thinking=thinking, **fields)
        for each in (sizes, [len(case.ids) or 1])
    )
    assert without_ids(whole(items)) == without_ids(whole(at_once))
    opened = 0
    open_: int | None = None
    for item in items[1:-2]:
        match item["type"]:
            case "content_block_start":
                assert open_ is None
                assert item["index"] == opened
                open_, opened = opened, opened + 1
            case "content_block_delta":
                assert item["index"] == open_
            case kind:
                assert kind == "content_block_stop"
                assert item["index"] == open_
                open_ = None
    assert open_ is None
    for block in whole(items)["content"]:
        if block["type"] == "thinking":
            ids = CAPSULES.open(block["signature"])
            assert ids
            assert all(token < FIRST_SPECIAL for token in ids)

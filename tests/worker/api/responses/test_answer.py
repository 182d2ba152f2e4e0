"""Answers: the events of a response and the object that they end in, by OpenAI's own types."""

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.catalogue import CATALOGUE, Case
from tests.support.responses import (
    CALL,
    FINAL,
    PREAMBLE,
    THINK,
    WEATHER,
    Object,
    answered,
    check_events,
    check_response,
    service,
    streamed,
)
from tests.support.scripted_engine import ScriptedEngine, tokens
from worker.api.dialect import Head
from worker.api.fields import read
from worker.api.responses import DIALECT
from worker.api.responses.answer import ResponsesAnswer, ResponsesFold
from worker.api.responses.request import ResponsesRequest
from worker.errors import (
    BadRequest,
    ContextLengthExceeded,
    EngineDead,
    EngineOverloaded,
    WorkerError,
)
from worker.generation import Step
from worker.harmony import Parser
from worker.harmony.capsule import Capsules
from worker.turn import Turn

HI = {"input": "Hi"}
TWO_CALLS = CALL.replace("<|call|>", "<|end|>") + "<|start|>assistant" + CALL


def said(harmony: str, **fields: Any) -> list[Object]:
    return streamed(service(ScriptedEngine(tokens(harmony), per_step=2)), {**HI, **fields})


def whole(harmony: str, **fields: Any) -> Object:
    return answered(service(ScriptedEngine(tokens(harmony))), {**HI, **fields})


def kinds(events: list[Object]) -> list[str]:
    """The types of events, without repeated deltas."""
    names = [event["type"].removeprefix("response.") for event in events]
    return [
        name
        for name, before in zip(names, ["", *names], strict=False)
        if name != before or not name.endswith("delta")
    ]


def test_reasoning_a_preamble_and_a_call_come_as_three_items_in_this_order() -> None:
    """Each is added, filled, and done before the next begins."""
    assert kinds(said(THINK + PREAMBLE + CALL, tools=[WEATHER])) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]


def test_the_items_say_what_the_model_said() -> None:
    """The phase tells a preamble from an answer; a call has an ID of its own to be answered by."""
    response = whole(THINK + PREAMBLE + CALL, tools=[WEATHER])
    check_response(response)
    reasoning, preamble, call = response["output"]
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "We look."}]
    assert reasoning["summary"] == []
    assert (preamble["content"][0]["text"], preamble["phase"]) == ("Let me look.", "commentary")
    assert (call["name"], call["arguments"]) == ("get_weather", '{"city": "Paris"}')
    assert call["call_id"].startswith("call_")
    assert {item["status"] for item in response["output"]} == {"completed"}
    assert response["status"] == "completed"


def test_an_answer_is_the_final_answer() -> None:
    """By its phase."""
    message = whole(FINAL)["output"][-1]
    assert (message["content"][0]["text"], message["phase"]) == ("It is sunny.", "final_answer")


def test_a_whole_answer_is_the_last_event_of_a_stream() -> None:
    """But for what is its own: IDs and times."""
    last = said(THINK + PREAMBLE + CALL, tools=[WEATHER])[-1]["response"]
    response = whole(THINK + PREAMBLE + CALL, tools=[WEATHER])
    assert normal(response) == normal(last)


def normal(response: Object) -> Object:
    """A response without its IDs and times."""
    own = {"id": "", "call_id": ""}
    output = [
        {**item, **{k: v for k, v in own.items() if k in item}} for item in response["output"]
    ]
    return {**response, "id": "", "created_at": 0, "completed_at": 0, "output": output}


def test_the_usage_has_all_its_details() -> None:
    """openai-python reads the cached, the written and the reasoning tokens."""
    usage = whole(FINAL)["usage"]
    assert usage["output_tokens"] == len(tokens(FINAL))
    assert usage["output_tokens_details"] == {"reasoning_tokens": len(tokens("We look."))}
    assert usage["input_tokens_details"] == {
        "cached_tokens": usage["input_tokens"] // 2,
        "cache_write_tokens": 0,
    }
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def test_ids_never_change() -> None:
    """The response's is in every lifecycle event, and part of every item's."""
    events = said(THINK + PREAMBLE + CALL, tools=[WEATHER])
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1
    response_id = events[0]["response"]["id"].removeprefix("resp_")
    ids = [event["item"]["id"] for event in events if event["type"].endswith("item.added")]
    assert ids == [f"rs_{response_id}00", f"msg_{response_id}01", f"fc_{response_id}02"]


@pytest.mark.parametrize(
    ("harmony", "item", "text"),
    [
        ("<|channel|>final<|message|>one two three", "message", "one two"),
        ("<|channel|>analysis<|message|>one two three", "reasoning", "one two"),
    ],
)
def test_a_cut_answer_is_incomplete(harmony: str, item: str, text: str) -> None:
    """The open item ends with it; `incomplete_details` says why."""
    events = said(harmony, max_output_tokens=5)
    response = events[-1]["response"]
    assert events[-1]["type"] == "response.incomplete"
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    (cut,) = response["output"]
    assert (cut["type"], cut["status"], cut["content"][0]["text"]) == (item, "incomplete", text)


def test_a_call_that_is_cut_is_incomplete() -> None:
    """Its arguments are as far as they were written."""
    events = said(CALL, tools=[WEATHER], max_output_tokens=12)
    (call,) = events[-1]["response"]["output"]
    assert call["status"] == "incomplete"
    assert '{"city": "Paris"}'.startswith(call["arguments"])


@pytest.mark.parametrize("stop", [" sunny", "is"])
def test_a_stop_string_completes_the_open_item(stop: str) -> None:
    """It is not shown."""
    message = said(FINAL, stop=stop)[-1]["response"]["output"][-1]
    assert message["status"] == "completed"
    assert message["content"][0]["text"] == "It is sunny."[: "It is sunny.".index(stop)]


def test_without_parallel_calls_there_is_one() -> None:
    """The answer ends before the second."""
    assert len(whole(TWO_CALLS, tools=[WEATHER])["output"]) == 2
    response = said(TWO_CALLS, tools=[WEATHER], parallel_tool_calls=False)[-1]["response"]
    assert [item["type"] for item in response["output"]] == ["function_call"]


def test_log_probabilities_stand_with_their_text() -> None:
    """Those of the visible text, in its deltas, and all of them where it is done."""
    include = ["message.output_text.logprobs"]
    events = said(FINAL, include=include, top_logprobs=1)
    deltas = [event for event in events if event["type"].endswith("output_text.delta")]
    for delta in deltas:
        assert "".join(entry["token"] for entry in delta["logprobs"]) == delta["delta"]
    done = next(event for event in events if event["type"].endswith("output_text.done"))
    assert done["logprobs"] == [entry for delta in deltas for entry in delta["logprobs"]]
    part = events[-1]["response"]["output"][-1]["content"][0]
    assert part["logprobs"] == done["logprobs"]
    assert len(done["logprobs"][0]["top_logprobs"]) == 1


def test_messages_without_text_make_no_item() -> None:
    """An empty message would be shown as one."""
    events = said(
        "<|channel|>analysis<|message|><|end|><|start|>assistant<|channel|>final<|message|><|return|>"
    )
    assert kinds(events) == ["created", "in_progress", "completed"]


def test_a_silent_stream_says_that_the_response_is_in_progress() -> None:
    """With the next number; before the first step, after the response has begun."""
    answer = answer_to(HI)
    first, second = answer.keep_alive(), answer.keep_alive()
    assert [event["type"] for event in first] == ["response.created", "response.in_progress"]
    assert [event["type"] for event in second] == ["response.in_progress"]
    events = [*first, *second, *steps(answer, tokens(FINAL), 3)]
    check_events(events)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            ContextLengthExceeded("Too long.", param="input", tokens=9, limit=5),
            "context_length_exceeded",
            "Too long.",
        ),
        (BadRequest("No."), "invalid_prompt", "No."),
        (EngineOverloaded("Full."), "rate_limit_exceeded", "Full. Please try again in 1s."),
        (
            EngineDead(),
            "server_error",
            "The engine has died and this worker is shutting down; try again.",
        ),
    ],
)
@pytest.mark.parametrize("begun", [True, False])
def test_a_stream_that_fails_says_so_twice(
    error: WorkerError, code: str, message: str, begun: bool
) -> None:
    """As an error, which openai-python raises, and as a failed response, which Codex needs."""
    answer = answer_to(HI)
    turn = Turn(Parser(), answer_options())
    before = answer.take(0, turn.take(Step(tokens(FINAL)[:8]))) if begun else []
    *_, told, failed = events = [*before, *answer.failed(error)]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[0]["type"] == "response.created"
    assert told["type"] == "error"
    assert told["error"]["message"] == told["message"] == error.message
    assert failed["type"] == "response.failed"
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": code, "message": message}
    if code != "context_length_exceeded":  # which OpenAI sends and its types do not know
        check_events(events)


def test_an_event_is_named_by_its_type() -> None:
    """As OpenAI's are; an error before the response is one, too."""
    text = DIALECT.event({"type": "response.created", "sequence_number": 0})
    assert (
        text == 'event: response.created\ndata: {"type":"response.created","sequence_number":0}\n\n'
    )
    assert DIALECT.event(DIALECT.error(BadRequest("No."))).startswith(
        'event: error\ndata: {"error":'
    )
    assert DIALECT.end == "data: [DONE]\n\n"


def answer_to(body: Object) -> ResponsesAnswer:
    request = read(ResponsesRequest, body)
    return ResponsesAnswer(Head("0" * 32, "demo", 1), request, Capsules(), None)


def answer_options() -> Any:
    return read(ResponsesRequest, HI).asked([]).options


def steps(
    answer: ResponsesAnswer, ids: list[int], size: int, case: Case | None = None
) -> list[Object]:
    """The events of a completion in steps of a size."""
    turn = Turn(Parser(case.openai_tools if case else ()), answer_options())
    events: list[Object] = []
    for at in range(0, len(ids) or 1, size):
        last = at + size >= len(ids)
        reason = ("length" if case and case.cut else "stop") if last else None
        piece = ids[at : at + size]
        events += answer.take(0, turn.take(Step(piece, reason, 5, 0, at + len(piece))))
    return [*events, *asyncio.run(answer.close(turn.usage))]


@given(st.sampled_from(CATALOGUE), st.integers(1, 40))
def test_any_output_makes_a_valid_stream_at_any_split(case: Case, size: int) -> None:
    """Malformed ones, too: every event is valid, no number is left out, and the texts and calls
    are those that the catalogue says."""
    tools = [{"type": "function", "name": name, "parameters": {}} for name in case.tools]
    answer = answer_to({**HI, "tools": tools})
    events = steps(answer, case.ids, size, case)
    check_events(events)
    fold = ResponsesFold()
    for event in events:
        fold.add(orjson.loads(orjson.dumps(event)))
    response = fold.whole()
    assert response == events[-1]["response"]
    output = response["output"]
    assert texts(output, "message") == (case.content or "")
    assert texts(output, "reasoning") == (case.reasoning or "")
    calls = [(i["name"], i["arguments"]) for i in output if i["type"] == "function_call"]
    assert calls == list(case.calls)
    assert response["status"] == ("incomplete" if case.cut else "completed")


def texts(output: list[Object], kind: str) -> str:
    return "".join(i["content"][0]["text"] for i in output if i["type"] == kind)

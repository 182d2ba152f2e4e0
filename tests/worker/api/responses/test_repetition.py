"""Events that are too large for one delivery: what they leave out, and what they never do."""

from typing import Any

from tests.support.responses import (
    CALL,
    FINAL,
    THINK,
    WEATHER,
    Object,
    check_event,
    service,
    streamed,
)
from tests.support.scripted_engine import ScriptedEngine, tokens
from worker.api.responses.answer import MAX_DELTA_LOGPROBS
from worker.api.responses.repetition import smaller

LOGPROBS: Object = {
    "input": "Hi",
    "include": ["message.output_text.logprobs"],
    "top_logprobs": 1,
}


def events_of(harmony: str, per_step: int = 2, **fields: Any) -> list[Object]:
    engine = ScriptedEngine(tokens(harmony), per_step=per_step)
    return streamed(service(engine), {**LOGPROBS, **fields})


def less(event: Object) -> Object:
    """The event after one step."""
    made = smaller(event)
    assert made is not None
    check_event(made[0])
    return made[0]


def smallest(event: Object) -> Object:
    while smaller(event) is not None:
        event = less(event)
    return event


def test_deltas_and_calls_leave_nothing_out() -> None:
    """Nobody else says what they say."""
    for event in events_of(CALL) + events_of(FINAL):
        if event["type"].endswith(".delta") or "call" in event["type"]:
            assert smaller(event) is None


def test_the_last_event_leaves_out_log_probabilities_and_then_reasonings_text() -> None:
    """The capsule has the reasoning; the answer's text, and who is who, stay."""
    last = events_of(FINAL)[-1]
    first = less(last)
    reasoning, message = first["response"]["output"]
    assert reasoning["content"][0]["text"] == "We look."
    assert message["content"][0]["logprobs"] == []
    second = less(first)
    reasoning, message = second["response"]["output"]
    assert reasoning["content"] == []
    assert reasoning["encrypted_content"]
    assert message["content"][0]["text"] == "It is sunny."
    assert smaller(second) is None
    ids = [[item["id"] for item in event["response"]["output"]] for event in (last, second)]
    assert ids[0] == ids[1]


def test_a_response_leaves_out_what_its_client_sent() -> None:
    """From its first event on."""
    created, *_, last = events_of(FINAL, instructions="Be brief.", tools=[WEATHER])
    for response in (less(created)["response"], less(less(last))["response"]):
        assert (response["instructions"], response["tools"]) == (None, [])
    assert less(less(last))["response"]["output"][0]["content"]


def test_what_ends_a_text_leaves_out_its_log_probabilities_alone() -> None:
    """The three events that repeat a text keep it."""
    ends = {"response.output_text.done", "response.content_part.done", "response.output_item.done"}
    made = [smallest(event) for event in events_of(FINAL) if event["type"] in ends]
    text = [event for event in made if "It is sunny." in str(event)]
    assert len(text) == 3
    assert "'logprob'" not in str(text)


def test_a_failed_response_leaves_out_its_output() -> None:
    """So it can always be delivered, whatever it failed by."""
    failed = {**events_of(FINAL)[-1], "type": "response.failed"}
    assert smallest(failed)["response"]["output"] == []


def test_a_step_of_many_tokens_makes_several_deltas() -> None:
    """Each small enough with its log probabilities; together they have all, in order."""
    count = 2 * MAX_DELTA_LOGPROBS + 10
    harmony = "<|channel|>final<|message|>" + " one" * count + "<|return|>"
    events = events_of(harmony, per_step=5000)
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    assert [len(delta["logprobs"]) for delta in deltas] == [MAX_DELTA_LOGPROBS] * 2 + [10]
    for delta in deltas:
        assert delta["delta"] == "".join(each["token"] for each in delta["logprobs"])


def test_a_call_after_reasoning_keeps_its_arguments() -> None:
    """The client's next step is made of them."""
    last = smallest(events_of(THINK + CALL)[-1])
    assert last["response"]["output"][-1]["arguments"] == '{"city": "Paris"}'

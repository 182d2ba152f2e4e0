"""Stored responses: continued, referred to, looked up, deleted; each by its owner alone."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.responses import (
    CALL,
    FINAL,
    RESPONSES,
    THINK,
    WEATHER,
    Object,
    answer,
    answered,
    check_response,
    service,
    streamed,
)
from tests.support.scripted_engine import ScriptedEngine, tokens
from worker.api.responses import render_prompt
from worker.errors import BadRequest, NotFound, WorkerError
from worker.service import Service

QUESTION = {"role": "user", "content": "How is the weather?"}


def refused(of: Service, body: Any, route: str = RESPONSES, **how: Any) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        answered(of, body, route, **how)
    return caught.value


def engine_of(of: Service) -> ScriptedEngine:
    assert isinstance(of.engine, ScriptedEngine)
    return of.engine


def looked_up(of: Service, route: str, **how: Any) -> Object:
    return answered(of, None, f"{RESPONSES}/{route}", **({"method": "GET"} | how))


def result_of(response: Object) -> Object:
    call_id = response["output"][-1]["call_id"]
    return {"type": "function_call_output", "call_id": call_id, "output": "sun"}


def test_a_response_is_continued_by_its_id() -> None:
    """The prompt is that of all the items, and has the reasoning's exact IDs."""
    of = service(ScriptedEngine(tokens(THINK + CALL)), reasoning_memory_mb=0)
    body = {"tools": [WEATHER], "instructions": "Be brief."}
    first = answered(of, {**body, "input": [QUESTION]})
    result = result_of(first)
    engine_of(of).script = tokens(FINAL)
    answered(of, {**body, "input": [result], "previous_response_id": first["id"]})
    whole = {**body, "input": [QUESTION, *first["output"], result]}
    assert engine_of(of).prompts[-1] == render_prompt(whole)


def test_instructions_are_not_inherited() -> None:
    """As OpenAI's documentation says."""
    of = service()
    first = answered(of, {"input": [QUESTION], "instructions": "Be brief."})
    answered(of, {"input": "Why?", "previous_response_id": first["id"]})
    answers = [QUESTION, *first["output"], {"role": "user", "content": "Why?"}]
    assert engine_of(of).prompts[-1] == render_prompt({"input": answers})


def test_a_conversation_can_be_long() -> None:
    """Each response has all of it, so any of them can be continued."""
    of = service()
    last = answered(of, {"input": "0"})
    for turn in range(1, 4):
        last = answered(of, {"input": str(turn), "previous_response_id": last["id"]})
    listed = looked_up(of, f"{last['id']}/input_items?order=asc")["data"]
    said = [item["content"][0]["text"] for item in listed if item.get("role") == "user"]
    assert said == ["0", "1", "2", "3"]


def test_a_reference_stands_for_its_item() -> None:
    """The AI SDK sends nothing else by default."""
    of = service(ScriptedEngine(tokens(THINK + CALL)), reasoning_memory_mb=0)
    first = answered(of, {"input": [QUESTION], "tools": [WEATHER]})
    reasoning, call = first["output"]
    engine_of(of).script = tokens(FINAL)
    reference = {"type": "item_reference", "id": reasoning["id"]}
    items = [QUESTION, reference, {"id": call["id"]}, result_of(first)]
    answered(of, {"input": items, "tools": [WEATHER]})
    whole = [QUESTION, reasoning, call, result_of(first)]
    assert engine_of(of).prompts[-1] == render_prompt({"input": whole, "tools": [WEATHER]})


def test_an_input_item_can_be_referred_to() -> None:
    """By the ID that the list of input items shows."""
    of = service()
    first = answered(of, {"input": [QUESTION]})
    (listed,) = looked_up(of, f"{first['id']}/input_items")["data"]
    answered(of, {"input": [{"type": "item_reference", "id": listed["id"]}]})
    assert engine_of(of).prompts[-1] == engine_of(of).prompts[0]


def test_a_stored_response_is_found_and_deleted() -> None:
    """It is the object that the request was answered by."""
    of = service()
    response = answered(of, {"input": [QUESTION], "metadata": {"a": "b"}})
    found = looked_up(of, response["id"])
    assert found == response
    check_response(found)
    deleted = looked_up(of, response["id"], method="DELETE")
    assert deleted == {"id": response["id"], "object": "response", "deleted": True}
    assert refused(of, None, f"{RESPONSES}/{response['id']}", method="GET").status == 404
    assert refused(of, None, f"{RESPONSES}/{response['id']}", method="DELETE").status == 404


def test_a_streamed_response_is_stored_before_it_is_completed() -> None:
    """A client may answer at once."""

    async def first_and_second(of: Service) -> Object:
        await of.engine.start()
        events = await answer(of, {"input": [QUESTION], "stream": True})
        response_id = events[0]["response"]["id"]
        (found,) = await answer(of, None, f"{RESPONSES}/{response_id}", method="GET")
        assert found == events[-1]["response"]
        return found

    assert asyncio.run(first_and_second(service()))["store"] is True


@pytest.mark.parametrize(
    ("fields", "settings"), [({"store": False}, {}), ({}, {"response_store": "off"})]
)
def test_what_is_not_stored_is_not_found(fields: Object, settings: Any) -> None:
    """The response says so."""
    of = service(**settings)
    response = streamed(of, {"input": [QUESTION], **fields})[-1]["response"]
    assert response["store"] is False
    assert refused(of, None, f"{RESPONSES}/{response['id']}", method="GET").status == 404


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        (
            {},
            (
                "This worker keeps responses in its own memory; with several workers set "
                "RESPONSE_STORE to a folder on a network volume, or send store=false and the items."
            ),
        ),
        (
            {"response_store": "off"},
            (
                "This worker stores no responses (RESPONSE_STORE=off); send the earlier items in "
                "input."
            ),
        ),
    ],
)
def test_what_is_missing_is_refused_in_openais_words(settings: Any, advice: str) -> None:
    """And with what to do."""
    of = service(**settings)
    error = refused(of, {"input": "Hi", "previous_response_id": "resp_1"})
    assert error.message == f"Previous response with id 'resp_1' not found. {advice}"
    assert (error.status, error.code) == (400, "previous_response_not_found")
    assert error.param == "previous_response_id"
    missing = {"type": "item_reference", "id": f"rs_{'0' * 32}00"}
    error = refused(of, {"input": [QUESTION, missing]})
    assert isinstance(error, NotFound)
    assert error.param == "input[1].id"
    assert error.message.startswith(
        f"Item with id 'rs_{'0' * 32}00' not found. Items are not persisted when `store` is set to "
        "false."
    )
    assert error.message.endswith(advice)


def test_a_response_belongs_to_its_key() -> None:
    """For another one it does not exist."""
    of = service()
    response = answered(of, {"input": [QUESTION]}, owner="0")
    path = f"{RESPONSES}/{response['id']}"
    assert refused(of, None, path, method="GET", owner="1").status == 404
    assert refused(of, None, path, method="DELETE", owner="1").status == 404
    body = {"input": "Hi", "previous_response_id": response["id"]}
    assert refused(of, body, owner="1").code == "previous_response_not_found"
    reference = {"type": "item_reference", "id": response["output"][0]["id"]}
    assert refused(of, {"input": [reference]}, owner="1").status == 404
    assert answered(of, body, owner="0")["status"] == "completed"


def test_workers_that_share_a_folder_continue_each_others_responses(tmp_path: Path) -> None:
    """The exact IDs included."""
    one = service(ScriptedEngine(tokens(THINK + CALL)), response_store=str(tmp_path))
    first = answered(one, {"input": [QUESTION], "tools": [WEATHER]})
    other = service(response_store=str(tmp_path))
    body = {"input": [result_of(first)], "previous_response_id": first["id"], "tools": [WEATHER]}
    assert answered(other, body)["status"] == "completed"
    whole = {"input": [QUESTION, *first["output"], result_of(first)], "tools": [WEATHER]}
    assert engine_of(other).prompts[0] == render_prompt(whole)


def test_input_items_come_in_pages() -> None:
    """The latest first, as OpenAI's do."""
    of = service()
    items = [{"role": "user", "content": str(number)} for number in range(5)]
    path = f"{answered(of, {'input': items})['id']}/input_items"

    def page(query: str) -> tuple[list[str], bool]:
        found = looked_up(of, f"{path}?{query}")
        assert found["object"] == "list"
        assert found["first_id"] == found["data"][0]["id"]
        assert found["last_id"] == found["data"][-1]["id"]
        return [item["content"][0]["text"] for item in found["data"]], found["has_more"]

    assert page("") == (["4", "3", "2", "1", "0"], False)
    assert page("order=asc&limit=2") == (["0", "1"], True)
    last = looked_up(of, f"{path}?order=asc&limit=2")["last_id"]
    assert page(f"order=asc&limit=3&after={last}") == (["2", "3", "4"], False)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("/input_items?order=up", "order"),
        ("/input_items?limit=0", "limit"),
        ("/input_items?limit=101", "limit"),
        ("/input_items?limit=1000000000000000000000", "limit"),
        ("/input_items?after=msg_1", "after"),
        ("?stream=true", "stream"),
    ],
)
def test_a_wrong_query_is_named(query: str, param: str) -> None:
    """400, or 404 for what is not there."""
    of = service()
    response = answered(of, {"input": [QUESTION]})
    error = refused(of, None, f"{RESPONSES}/{response['id']}{query}", method="GET")
    assert isinstance(error, BadRequest)
    assert error.param == param


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("/compact", "ask for a summary with /v1/responses"),
        ("/resp_1/cancel", "close the connection, or cancel the job with RunPod's /cancel"),
    ],
)
def test_routes_that_are_not_there_say_what_is(path: str, remedy: str) -> None:
    """400."""
    error = refused(service(), {}, RESPONSES + path)
    assert (error.status, error.code) == (400, "unsupported_route")
    assert remedy in error.message


def test_input_tokens_are_counted_without_the_engine() -> None:
    """Exactly the prompt that the request would have."""
    of = service()
    body = {"input": [QUESTION], "tools": [WEATHER], "instructions": "Be brief."}
    counted = answered(of, body, f"{RESPONSES}/input_tokens")
    assert counted == {
        "object": "response.input_tokens",
        "input_tokens": len(render_prompt(body)),
    }
    assert engine_of(of).prompts == []

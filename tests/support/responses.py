"""Requests to the Responses API on a scripted engine, and checks of what comes back.

Every event and object is validated by OpenAI's own types, and by those of Open Responses where it
has them.
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from openai.types.responses import Response, ResponseStreamEvent
from openresponses_types import types as open_responses
from pydantic import TypeAdapter

from tests.support.scripted_engine import ScriptedEngine, tokens
from worker.api.routes import route_for
from worker.job_metrics import JobMetrics
from worker.model import Model
from worker.service import Service
from worker.settings import Settings

Object = dict[str, Any]
RESPONSES = "/v1/responses"
THINK = "<|channel|>analysis<|message|>We look.<|end|><|start|>assistant"
FINAL = f"{THINK}<|channel|>final<|message|>It is sunny.<|return|>"
PREAMBLE = "<|channel|>commentary<|message|>Let me look.<|end|><|start|>assistant"
CALL = (
    "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
    '{"city": "Paris"}<|call|>'
)
WEATHER: Object = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather now.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}

_EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
_OPEN_EVENTS = {
    member.value: model
    for model in vars(open_responses).values()
    if isinstance(model, type) and model.__name__.endswith("StreamingEvent")
    for member in model.model_fields["type"].annotation
}


def service(engine: ScriptedEngine | None = None, **settings: Any) -> Service:
    """A worker of its own: nothing is shared with another one's."""
    model = Model(path="x", names=("demo", "gpt-oss"), context_length=4096)
    return Service(engine or ScriptedEngine(tokens(FINAL)), model, Settings(**settings))


async def answer(
    of: Service, body: Any, route: str = RESPONSES, *, method: str = "POST", owner: str = ""
) -> list[Object]:
    """The objects that a request is answered by."""
    await of.engine.start()
    path, _, query = route.partition("?")
    exchange = await of.read(route_for(path, query=query, method=method), body, owner)
    async with aclosing(exchange.answer(JobMetrics())) as batches:
        return [item async for batch in batches for item in batch]


def answered(of: Service, body: Any, route: str = RESPONSES, **how: Any) -> Object:
    """The one object that a request without a stream is answered by."""
    (whole,) = asyncio.run(answer(of, body, route, **how))
    return whole


def streamed(of: Service, body: Object, **how: Any) -> list[Object]:
    """The events that a request is answered by; each of them is checked."""
    events = asyncio.run(answer(of, {**body, "stream": True}, **how))
    check_events(events)
    return events


def check_events(events: Sequence[Object]) -> None:
    """Raises unless every event is valid and numbered, and items come one after the other."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    for event in events:
        check_event(event)
    _check_items(events)
    last = events[-1]
    if last["type"] in ("response.completed", "response.incomplete"):
        done = [e["item"] for e in events if e["type"] == "response.output_item.done"]
        assert last["response"]["output"] == done
        check_response(last["response"])


def _check_items(events: Sequence[Object]) -> None:
    """An item is added, gets all its deltas and is done before the next one is added."""
    open_item: Object | None = None
    text = ""
    added = 0
    for event in events:
        kind = event["type"]
        if kind == "response.output_item.added":
            assert open_item is None
            open_item, text = event["item"], ""
            assert event["output_index"] == added
            added += 1
        elif kind == "response.output_item.done":
            assert open_item is not None
            assert {event["item"][key] == open_item[key] for key in ("id", "type")} == {True}
            assert _text(event["item"]) == text
            open_item = None
        elif "item_id" in event:
            assert open_item is not None
            assert (event["item_id"], event["output_index"]) == (open_item["id"], added - 1)
            text += event.get("delta", "")
            if kind.endswith(("_text.done", "arguments.done", "input.done")):
                assert event.get("text", event.get("arguments", event.get("input"))) == text
    if events[-1]["type"] != "response.failed":
        assert open_item is None


def _text(item: Object) -> str:
    if item["type"] in ("message", "reasoning"):
        return "".join(part["text"] for part in item["content"])
    return item["input" if item["type"] == "custom_tool_call" else "arguments"]


def check_response(response: Object) -> Response:
    """The response by OpenAI's types. Raises unless it is valid and has every field of Open
    Responses."""
    assert open_responses.ResponseResource.model_fields.keys() <= response.keys()
    return Response.model_validate(_with_tools(response, "function", "custom"))


def check_event(event: Object) -> None:
    """By both validators, as far as they know the kinds of tools."""
    _EVENT.validate_python(_with_tools(event, "function", "custom"))
    custom = event.get("item", {}).get("type") == "custom_tool_call"
    lifecycle = event.get("response", {"output": [], "text": {"format": {"type": "text"}}})
    custom |= any(item["type"] == "custom_tool_call" for item in lifecycle["output"])
    has_schema = lifecycle["text"]["format"]["type"] == "json_schema"  # which they take for null
    if (model := _OPEN_EVENTS.get(event["type"])) and not custom and not has_schema:
        model.model_validate(_with_tools(event, "function"))


def _with_tools(value: Object, *kinds: str) -> Object:
    """A response, or an event that has one, with tools of these kinds alone."""
    if "response" in value:
        return {**value, "response": _with_tools(value["response"], *kinds)}
    if "tools" not in value:
        return value
    return {**value, "tools": [tool for tool in value["tools"] if tool["type"] in kinds]}

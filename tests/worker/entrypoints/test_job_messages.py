"""Jobs that ask for messages: Anthropic's events and errors on RunPod's queue."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from tests.support.http_server import GatedEngine
from worker.api.routes import route_for
from worker.engine import Sampling, Step
from worker.entrypoints.job import JobFailed, parts, read
from worker.errors import EngineOverloaded
from worker.job_metrics import JobMetrics
from worker.model import Model
from worker.service import Service
from worker.settings import Settings

ASK = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100}
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


class Overloaded(GatedEngine):
    """Has too much to do."""

    def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        wanted = len(prompt_ids) + sampling.max_tokens
        raise EngineOverloaded(f"No room for the {wanted} tokens of {rid}.")


async def _outputs(engine: GatedEngine, job: Any, into: list[Any]) -> None:
    service = Service(engine, Model("x", ("demo",), 200), Settings())
    await engine.start()
    async for part in parts(service, job, JobMetrics()):
        into.append(part.encoded())  # noqa: PERF401 - what came before a failure counts, too


def outputs(route: str, body: Any, engine: GatedEngine | None = None) -> list[Any]:
    found: list[Any] = []
    asyncio.run(_outputs(engine or GatedEngine(), routed(route, body), found))
    return found


def routed(route: str, body: Any) -> Any:
    return {"openai_route": route, "openai_input": body}


def of_job(job: Any) -> list[Any]:
    """What a job is answered by, whatever its form."""
    found: list[Any] = []
    asyncio.run(_outputs(GatedEngine(), job, found))
    return found


def failure(
    route: str, body: Any, engine: GatedEngine | None = None
) -> tuple[list[Any], dict[str, Any]]:
    """What was delivered before a job failed, and the error it failed with."""
    found: list[Any] = []
    with pytest.raises(JobFailed) as caught:
        asyncio.run(_outputs(engine or GatedEngine(), routed(route, body), found))
    return found, json.loads(str(caught.value))


def test_a_whole_message_is_one_object() -> None:
    """As over HTTP."""
    (message,) = outputs("/v1/messages", ASK)
    assert Message.model_validate(message).stop_reason == "end_turn"


def test_a_streamed_message_is_named_events() -> None:
    """Strings of whole events, none of them empty, without a [DONE]."""
    delivered = outputs("/openai/v1/messages", {**ASK, "stream": True})
    assert all(delivered)
    text = "".join(delivered)
    blocks = text.removesuffix("\n\n").split("\n\n")
    for block in blocks:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        EVENT.validate_python(event)
        assert name == f"event: {event['type']}"
    assert blocks[-1].startswith("event: message_stop\n")


@pytest.mark.parametrize("stream", [True, False])
def test_tokens_are_counted(stream: bool) -> None:
    """A count is never streamed as a message is."""
    output = outputs("/v1/messages/count_tokens", {**ASK, "stream": stream})
    text = output[0].removeprefix("data: ") if stream else json.dumps(output[0])
    assert json.loads(text)["input_tokens"] > 10


@pytest.mark.parametrize(
    ("body", "engine", "kind"),
    [
        ({"messages": 5}, None, "invalid_request_error"),
        ({**ASK, "model": "claude"}, None, "not_found_error"),
        (ASK, Overloaded(), "overloaded_error"),
    ],
)
def test_a_failed_job_has_anthropics_error(
    body: dict[str, Any], engine: GatedEngine | None, kind: str
) -> None:
    """And its stream ends in the same, as an event."""
    delivered, error = failure("/v1/messages", body, engine)
    assert delivered == []
    assert error["type"] == kind
    (event,), told = failure("/v1/messages", {**body, "stream": True}, engine)
    name, data = event.removesuffix("\n\n").split("\n")
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: ")) == {"type": "error", "error": told}
    assert told["type"] == error["type"]


@pytest.mark.parametrize(
    "mark",
    [
        {"system": "Be brief."},
        {"system": [{"type": "text", "text": "Be brief."}]},
        {"output_config": {"effort": "low"}},
        {"anthropic_version": "bedrock-2023-05-31"},
        {"tools": [{"name": "f", "input_schema": {"type": "object"}}]},
    ],
)
def test_a_job_without_a_route_is_a_message_by_what_only_messages_have(mark: Any) -> None:
    """Its events are objects, as those of the other forms."""
    assert read({**ASK, **mark}).route == route_for("/v1/messages")
    first, *_, last = of_job({**ASK, **mark, "stream": True})
    assert (first["type"], last["type"]) == ("message_start", "message_stop")
    (message,) = of_job({**ASK, **mark})
    assert message["type"] == "message"


@pytest.mark.parametrize(
    "mark",
    [
        {},
        {"system": ""},
        {"thinking": {"type": "disabled"}},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tools": "none"},
    ],
)
def test_what_a_chat_completion_may_have_too_is_a_chat_completion(mark: Any) -> None:
    """As before there were messages."""
    assert read({**ASK, **mark}).route.label == "/v1/chat/completions"
    assert read({"messages": [], "system": "a"}).route.label == "/v1/chat/completions"


def test_an_unknown_route_below_messages_is_anthropics() -> None:
    """Not supported, in its words."""
    _, error = failure("/v1/messages/batches", {})
    assert error["type"] == "not_found_error"

"""The gateway's Responses and Messages, as the two APIs' own clients meet them.

The worker runs the project's queue entrypoint and dialects, with a scripted engine.
"""

import sys
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest
from anthropic.types import MessageParam, ToolParam
from openai.types.responses import FunctionToolParam, ResponseFunctionToolCall

from tests.support.emulation import Emulation, emulation, eventually, streamed

PACED_WORKER = (sys.executable, "-m", "tests.support.paced_worker")
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"location": {"type": "string"}}}
FUNCTION: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "parameters": SCHEMA,
    "strict": False,
}
TOOL: ToolParam = {"name": "get_weather", "input_schema": SCHEMA}
WEATHER: MessageParam = {"role": "user", "content": "Weather in Paris?"}


@pytest.fixture(scope="module")
def plane() -> Iterator[Emulation]:
    with emulation(1, PACED_WORKER, POLL_SECONDS="1", MODEL="demo", PACE_MS="2") as running:
        running.ready(1)
        yield running


@pytest.fixture
def gpt(plane: Emulation) -> Iterator[openai.OpenAI]:
    url = f"{plane.endpoint_url}/openai/v1"
    with openai.OpenAI(base_url=url, api_key="any", max_retries=0) as opened:
        yield opened


@pytest.fixture
def claude(plane: Emulation) -> Iterator[anthropic.Anthropic]:
    url = f"{plane.endpoint_url}/openai"
    with anthropic.Anthropic(base_url=url, api_key="any", max_retries=0) as opened:
        yield opened


def test_a_streamed_response_loops_through_a_tool(plane: Emulation, gpt: openai.OpenAI) -> None:
    """openai-python's stream helper accepts the events; the items go back with the result."""
    asked: Any = {"role": "user", "content": "Weather in Paris?"}
    with gpt.responses.stream(model="demo", input=[asked], tools=[FUNCTION]) as stream:
        first = stream.get_final_response()
    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    call = first.output[-1]
    assert isinstance(call, ResponseFunctionToolCall)
    given: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    history: Any = [asked, *(item.to_dict() for item in first.output), given]
    with gpt.responses.stream(model="demo", input=history, tools=[FUNCTION]) as stream:
        assert stream.get_final_response().output_text == "It is sunny in Paris."
    events = streamed(plane.last_job())
    assert events[0].startswith("event: response.created\ndata: {")
    assert events[-1].endswith("data: [DONE]\n\n")


def test_a_streamed_message_loops_through_a_tool(
    plane: Emulation, claude: anthropic.Anthropic
) -> None:
    """anthropic-python's stream helper accepts the events; the blocks go back with the result."""
    more: Any = {"model": "demo", "max_tokens": 500, "tools": [TOOL]}
    with claude.messages.stream(messages=[WEATHER], **more) as stream:
        first = stream.get_final_message()
    assert [block.type for block in first.content] == ["thinking", "tool_use"]
    assert first.stop_reason == "tool_use"
    given: Any = {"type": "tool_result", "tool_use_id": first.content[-1].id, "content": "sunny"}  # pyright: ignore[reportAttributeAccessIssue]
    history: Any = [
        WEATHER,
        {"role": "assistant", "content": [block.to_dict() for block in first.content]},
        {"role": "user", "content": [given]},
    ]
    with claude.messages.stream(messages=history, **more) as stream:
        assert stream.get_final_text() == "It is sunny in Paris."
    assert streamed(plane.last_job())[-1].rstrip().endswith('data: {"type":"message_stop"}')


def test_whole_answers(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    """The job's one object is the reply's body."""
    assert gpt.responses.create(model="demo", input="Hi").output_text.startswith(" one two")
    message = claude.messages.create(
        model="demo", max_tokens=100, messages=[{"role": "user", "content": "Hi"}]
    )
    assert message.content[0].type == "text"


def test_prompts_are_counted(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    """By both APIs, without a generation; a message's count is its prompt."""
    assert gpt.responses.input_tokens.count(model="demo", input="Hi").input_tokens > 0
    counted = claude.messages.count_tokens(model="demo", messages=[WEATHER]).input_tokens
    usage = claude.messages.create(model="demo", max_tokens=100, messages=[WEATHER]).usage
    assert counted == usage.input_tokens + (usage.cache_read_input_tokens or 0)


def test_a_stored_response_is_looked_up_continued_and_deleted(gpt: openai.OpenAI) -> None:
    """GET, its input items with a query, `previous_response_id`, DELETE, and then a 404."""
    kept = gpt.responses.create(model="demo", input="Hi")
    assert gpt.responses.retrieve(kept.id).output_text == kept.output_text
    assert len(gpt.responses.input_items.list(kept.id, limit=1).data) == 1
    later = gpt.responses.create(model="demo", input="More", previous_response_id=kept.id)
    assert later.previous_response_id == kept.id
    gpt.responses.delete(kept.id)
    with pytest.raises(openai.NotFoundError, match=kept.id):
        gpt.responses.retrieve(kept.id)


def test_a_failed_message_is_anthropics_error(claude: anthropic.Anthropic) -> None:
    """Its class by the HTTP status, its body in Anthropic's form."""
    with pytest.raises(anthropic.NotFoundError) as unknown:
        claude.messages.create(model="claude", max_tokens=5, messages=[WEATHER])
    assert unknown.value.body["error"]["type"] == "not_found_error"  # pyright: ignore[reportOptionalSubscript, reportIndexIssue, reportUnknownVariableType, reportCallIssue, reportArgumentType]
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        claude.messages.create(model="demo", max_tokens=0, messages=[WEATHER])


def test_a_failed_response_is_openais_error(gpt: openai.OpenAI) -> None:
    """Its class by the HTTP status, its field by name."""
    with pytest.raises(openai.BadRequestError) as wrong:
        gpt.responses.create(model="demo", input="Hi", background=True)
    assert wrong.value.param == "background"


@pytest.mark.parametrize("route", ["responses", "messages", "chat/completions"])
def test_a_client_that_leaves_after_an_error_finds_a_failed_job(
    plane: Emulation, route: str
) -> None:
    """openai-python leaves as soon as it has the error."""
    url = f"{plane.endpoint_url}/openai/v1/{route}"
    plane.set_faults(done={"latency_ms": 300})
    with httpx.stream("POST", url, json={"stream": True, "model": "none"}, timeout=60) as stream:
        assert "error" in next(stream.iter_lines())
    assert plane.ended(plane.last_job()["id"])["state"] == "FAILED"
    plane.set_faults()


@pytest.mark.parametrize("route", ["responses", "messages"])
def test_a_client_that_leaves_cancels_its_job(plane: Emulation, route: str) -> None:
    """In either API."""
    with leaving(plane, route) as stream:
        assert next(stream.iter_lines()).startswith("event: ")
    eventually(lambda: plane.last_job()["state"] == "CANCELLED")


def leaving(plane: Emulation, route: str) -> Any:
    """A stream of an endless answer."""
    asked = {"input": "endless", "messages": [{"role": "user", "content": "endless"}]}
    field = "input" if route == "responses" else "messages"
    body = {field: asked[field], "stream": True, "max_tokens": 50_000}
    if route == "responses":
        body["max_output_tokens"] = body.pop("max_tokens")
    return httpx.stream("POST", f"{plane.endpoint_url}/openai/v1/{route}", json=body, timeout=60)


def test_a_message_that_is_complete_is_not_cancelled(
    plane: Emulation, claude: anthropic.Anthropic
) -> None:
    """A client may leave after `message_stop`: there is no [DONE]."""
    plane.set_faults(done={"latency_ms": 300})
    for _ in range(3):
        with claude.messages.stream(model="demo", max_tokens=9, messages=[WEATHER]) as stream:
            for event in stream:
                if event.type == "message_stop":
                    break
        job_id = plane.last_job()["id"]
        assert plane.ended(job_id)["state"] == "COMPLETED"
    plane.set_faults()


@pytest.mark.parametrize("route", ["responses", "messages"])
def test_a_stream_whose_worker_is_killed_ends_with_an_error(plane: Emulation, route: str) -> None:
    """An event that the API's clients raise."""
    with leaving(plane, route) as stream:
        lines = stream.iter_lines()
        next(lines)
        plane.start_worker()
        plane.kill(plane.last_job()["worker"])
        *_, name, data, _ = lines
    assert name == "event: error"
    assert '"type": "error"' in data
    assert "worker was lost" in data
    plane.ready(1)


def test_the_figures_of_every_api_are_known(plane: Emulation, gpt: openai.OpenAI) -> None:
    """Prompt, cached and completion tokens, whatever the API calls them."""
    routes = {
        "/v1/chat/completions": {"messages": [WEATHER]},
        "/v1/responses": {"input": "Weather in Paris?"},
        "/v1/messages": {"messages": [WEATHER], "max_tokens": 100},
    }
    seen: set[tuple[Any, ...]] = set()
    for route, body in routes.items():
        for stream in (True, False):
            more = {"stream_options": {"include_usage": True}} if "chat" in route and stream else {}
            job = {"openai_route": route, "openai_input": {**body, "stream": stream, **more}}
            figures = plane.ended(plane.submit(job))["figures"]
            seen.add(tuple(figures[f"{name}_tokens"] for name in ("cached", "completion")))
            assert figures["prompt_tokens"] > figures["cached_tokens"]
    assert len(seen) == 1

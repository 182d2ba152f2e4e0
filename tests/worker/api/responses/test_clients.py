"""openai-python against a running server: its types, its stream helper, its errors."""

from collections.abc import Iterator

import pytest
from openai import APIError, BadRequestError, NotFoundError, OpenAI
from openai.types.responses import ResponseFunctionToolCall, ResponseReasoningItem
from pydantic import BaseModel

from tests.support.http_server import GatedEngine, RunningServer, running
from tests.support.responses import CALL, FINAL, PREAMBLE, THINK, WEATHER
from tests.support.scripted_engine import tokens
from worker.errors import EngineOverloaded


class Weather(BaseModel):
    city: str


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with running(GatedEngine(tokens(FINAL))) as server:
        yield server


def client_of(server: RunningServer) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0)


def scripted(server: RunningServer, harmony: str) -> OpenAI:
    server.engine.script = tokens(harmony)
    return client_of(server)


def test_create_gives_the_text(server: RunningServer) -> None:
    """The reasoning is an item of its own."""
    response = client_of(server).responses.create(model="demo", input="Hi")
    assert response.output_text == "It is sunny."
    reasoning = response.output[0]
    assert isinstance(reasoning, ResponseReasoningItem)
    assert reasoning.content
    assert reasoning.content[0].text == "We look."


def test_the_stream_helper_accepts_the_stream(server: RunningServer) -> None:
    """It checks the order of events, and that no ID changes."""
    openai = scripted(server, THINK + PREAMBLE + CALL)
    with openai.responses.stream(model="demo", input="Hi", tools=[WEATHER]) as stream:  # type: ignore[list-item]
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    call = final.output[-1]
    assert isinstance(call, ResponseFunctionToolCall)
    assert call.arguments == '{"city": "Paris"}'


def test_the_helper_parses_a_structured_answer(server: RunningServer) -> None:
    """`text.format` holds it to the schema."""
    openai = scripted(server, '<|channel|>final<|message|>{"city": "Paris"}<|return|>')
    with openai.responses.stream(model="demo", input="Hi", text_format=Weather) as stream:
        assert stream.get_final_response().output_parsed == Weather(city="Paris")
    assert server.engine.samplings[-1].structural_tag is not None


def test_a_tool_loop_goes_on_with_what_the_model_said(server: RunningServer) -> None:
    """Items as they came, and the result."""
    openai = scripted(server, THINK + CALL)
    first = openai.responses.create(model="demo", input="Hi", tools=[WEATHER])  # type: ignore[list-item]
    call = first.output[-1]
    assert isinstance(call, ResponseFunctionToolCall)
    items = [
        {"role": "user", "content": "Hi"},
        *[item.model_dump(exclude_none=True) for item in first.output],
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"},
    ]
    openai = scripted(server, FINAL)
    second = openai.responses.create(model="demo", input=items, tools=[WEATHER])  # type: ignore[arg-type]
    assert second.output_text == "It is sunny."


def test_a_conversation_goes_on_by_its_id(server: RunningServer) -> None:
    """The store is on by default; what is deleted is not found."""
    openai = client_of(server)
    first = openai.responses.create(model="demo", input="My name is Ann.")
    second = openai.responses.create(model="demo", input="Hi", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert openai.responses.retrieve(first.id).output_text == "It is sunny."
    listed = openai.responses.input_items.list(second.id, order="asc")
    assert [item.type for item in listed] == ["message", "reasoning", "message", "message"]
    openai.responses.delete(first.id)
    with pytest.raises(NotFoundError):
        openai.responses.retrieve(first.id)


def test_input_tokens_are_those_of_the_prompt(server: RunningServer) -> None:
    """The same number as in the usage of the answer."""
    openai = client_of(server)
    counted = openai.responses.input_tokens.count(model="demo", input="Hi", instructions="Be.")
    response = openai.responses.create(model="demo", input="Hi", instructions="Be.")
    assert response.usage is not None
    assert counted.input_tokens == response.usage.input_tokens


def test_an_error_before_the_stream_is_a_status(server: RunningServer) -> None:
    """With OpenAI's error object."""
    with pytest.raises(BadRequestError) as caught:
        client_of(server).responses.create(model="demo", input=[], stream=True)
    assert caught.value.param == "input"


def test_an_error_within_a_stream_is_raised() -> None:
    """By its message."""

    class Failing(GatedEngine):
        async def generate(self, prompt_ids, sampling, rid):  # type: ignore[no-untyped-def,override]  # noqa: ANN001, ANN202
            async for step in super().generate(prompt_ids, sampling, rid):
                yield step
                raise EngineOverloaded("The queue is full.")

    with running(Failing(tokens(FINAL))) as server:
        events = client_of(server).responses.create(model="demo", input="Hi", stream=True)
        with pytest.raises(APIError, match="The queue is full"):
            list(events)
        text = server.client.post("/v1/responses", json={"input": "Hi", "stream": True}).text
    blocks = text.strip().split("\n\n")
    assert [block.splitlines()[0] for block in blocks[-2:]] == [
        "event: error", "event: response.failed",
    ]  # fmt: skip
    assert '"code":"rate_limit_exceeded"' in blocks[-1]


def test_a_stream_ends_in_done(server: RunningServer) -> None:
    """The specification's last block."""
    text = server.client.post("/v1/responses", json={"input": "Hi", "stream": True}).text
    assert text.endswith("data: [DONE]\n\n")
    assert text.startswith('event: response.created\ndata: {"type":"response.created"')

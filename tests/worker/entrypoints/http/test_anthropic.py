"""Anthropic's API over HTTP, by the `anthropic` package: answers, streams, tools, errors, keys."""

import json
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

import anthropic
import httpx
import pytest
from anthropic import Anthropic, beta_tool
from anthropic.types import Message, ModelInfo
from pydantic import BaseModel

from tests.support.http_server import CHAT, HELLO, GatedEngine, RunningServer, running, until
from tests.support.scripted_engine import tokens
from worker.engine import Sampling, Step
from worker.entrypoints.http import answer_response, request_body
from worker.errors import EngineOverloaded, ServerError, WorkerError
from worker.harmony.vocabulary import encoding

MESSAGES = "/v1/messages"
COUNT = f"{MESSAGES}/count_tokens"
ASK: dict[str, Any] = {**HELLO, "max_tokens": 100}
THINK = "<|channel|>analysis<|message|>Let me think.<|end|><|start|>assistant"
FINAL = tokens(f"{THINK}<|channel|>final<|message|>It is sunny.<|return|>")
CALL = tokens(
    f"{THINK}<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
    '{"city":"Paris"}<|call|>'
)


class ScriptsEngine(GatedEngine):
    """Generates the next of several scripts for each request."""

    def __init__(self, *scripts: Sequence[int]) -> None:
        super().__init__(scripts[0])
        self._scripts = [list(script) for script in scripts]

    def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        self.script = self._scripts.pop(0)
        return super().generate(prompt_ids, sampling, rid)


class FailsEngine(GatedEngine):
    """Fails each request after some steps."""

    def __init__(self, error: Exception, after: int) -> None:
        super().__init__()
        self._error = error
        self._after = after

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        made = 0
        async for step in super().generate(prompt_ids, sampling, rid):
            if made == self._after:
                raise self._error
            made += 1
            yield step
        raise self._error


def client_of(server: RunningServer, **options: Any) -> Anthropic:
    defaults: dict[str, Any] = {"api_key": "-", "max_retries": 0}
    return Anthropic(base_url=server.url, **{**defaults, **options})


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running(max_body_mb=1) as server:
        yield server


@pytest.fixture
def client(server: RunningServer) -> Iterator[Anthropic]:
    with client_of(server) as client:
        yield client


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error object of a body in Anthropic's shape, with the request's id in body and header."""
    body = response.json()
    assert body.keys() == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert body["request_id"] == response.headers["request-id"]
    assert response.headers["request-id"] == response.headers["x-request-id"]
    assert {"type", "message"} <= body["error"].keys() <= {"type", "message", "details"}
    return body["error"]


# Answers


def test_a_message_is_answered(client: Anthropic) -> None:
    """With the id of the request, which the package shows."""
    message = client.messages.create(model="demo", **ASK)
    Message.model_validate(message.to_dict())
    assert [block.text for block in message.content if block.type == "text"] == [
        "one two three four five"
    ]
    assert message.stop_reason == "end_turn"
    assert re.fullmatch(r"req_[0-9a-f]{32}", message._request_id or "")


def test_a_message_is_streamed(client: Anthropic) -> None:
    """The package's helper ends with the message that a whole answer is."""
    with client.messages.stream(model="demo", **ASK) as stream:
        assert "".join(stream.text_stream) == "one two three four five"
        streamed: dict[str, Any] = stream.get_final_message().to_dict()
    whole: dict[str, Any] = client.messages.create(model="demo", **ASK).to_dict()
    for message in (streamed, whole):
        message.pop("id")
        message.pop("stop_details", None)
        for block in message["content"]:
            block.pop("parsed_output", None)
    assert streamed == whole


def test_a_stream_has_named_events_and_no_done(server: RunningServer) -> None:
    """The package skips an event without a name."""
    response = server.client.post(f"{MESSAGES}?beta=true", json={**ASK, "stream": True})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["request-id"]
    blocks = [block for block in response.text.split("\n\n") if block]
    names = [re.fullmatch(r"event: (\w+)\ndata: (\{.*\})", block) for block in blocks]
    assert all(match and json.loads(match[2])["type"] == match[1] for match in names)
    assert blocks[0].startswith("event: message_start\n")
    assert blocks[-1] == 'event: message_stop\ndata: {"type":"message_stop"}'


def test_the_prefix_of_runpods_url_is_optional(server: RunningServer) -> None:
    """As for OpenAI's routes."""
    response = server.client.post(f"/openai{MESSAGES}", json=ASK)
    assert response.json()["type"] == "message"


@beta_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


@pytest.mark.parametrize("stream", [False, True])
def test_the_packages_tool_runner_sends_the_whole_history(stream: bool) -> None:
    """It asks for a thread first, and goes on without one where it is refused in the right words.

    The next turn's prompt holds the thinking, the call and its result.
    """
    engine = ScriptsEngine(CALL, FINAL)
    with running(engine, reasoning_memory_mb=0) as server, client_of(server) as client:
        runner = client.beta.messages.tool_runner(
            model="demo", tools=[get_weather], stream=stream, **ASK
        )
        message = runner.until_done()
    assert message.content[-1].type == "text"
    assert message.content[-1].text == "It is sunny."
    first, second = (encoding().decode(prompt) for prompt in engine.prompts)
    assert second.startswith(first.removesuffix("<|start|>assistant"))
    assert second.endswith(
        "<|start|>assistant<|channel|>analysis<|message|>Let me think.<|end|>"
        "<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json"
        '<|message|>{"city":"Paris"}<|call|>'
        "<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>sunny in Paris"
        "<|end|><|start|>assistant"
    )


def test_a_thread_is_refused_in_the_words_that_the_package_knows(client: Anthropic) -> None:
    """Ignored, it would be answered without the history."""
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.beta.messages.create(model="demo", thread={"type": "create"}, **ASK)
    assert caught.value.error_code == "thread_unsupported_request"
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["details"]["unsupported"] == ["thread"]


class Weather(BaseModel):
    sunny: bool


def test_a_parsed_answer(client: Anthropic) -> None:
    """By the package's output_format, which it sends as output_config.format."""
    engine = GatedEngine(tokens('<|channel|>final<|message|>{"sunny": true}<|return|>'))
    with running(engine) as server, client_of(server) as one:
        parsed = one.messages.parse(model="demo", output_format=Weather, **ASK)
        assert parsed.parsed_output == Weather(sunny=True)
        assert engine.samplings[0].structural_tag is not None


# Counts


def test_tokens_are_counted(client: Anthropic, server: RunningServer) -> None:
    """As many as the message then has."""
    tools: Any = [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    fields: Any = {**HELLO, "tools": tools, "system": "Be brief."}
    counted = client.messages.count_tokens(model="demo", **fields)
    usage = client.messages.create(model="demo", max_tokens=5, **fields).usage
    assert counted.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0)
    response = server.client.post(COUNT, json={**fields, "max_tokens": 5, "stream": True})
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"input_tokens": counted.input_tokens}


def test_tokens_are_counted_while_the_engine_is_busy() -> None:
    """It has no part in it."""
    engine = GatedEngine(free=0)
    with running(engine) as server, client_of(server) as client:
        body = json.dumps({**ASK, "stream": True}).encode()
        head = f"POST {MESSAGES} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        connection = server.connect(head.encode() + body)
        until(lambda: engine.open)
        assert client.messages.count_tokens(model="demo", **HELLO).input_tokens > 10
        assert engine.open
        connection.close()


# Silence


def test_silence_is_filled_with_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first event and after it: omitted thinking makes no events for minutes."""
    monkeypatch.setattr(answer_response, "KEEP_ALIVE_SECONDS", 0.05)
    engine = GatedEngine(free=0)
    with (
        running(engine) as server,
        server.client.stream("POST", MESSAGES, json={**ASK, "stream": True}) as response,
    ):
        lines = response.iter_lines()
        ping = ["event: ping", 'data: {"type":"ping"}', ""]
        assert [next(lines) for _ in range(6)] == ping * 2
        engine.free = 6
        server.call(engine.gate.set)
        until(lambda: engine.cancelled or not engine.open)
        rest = list(lines)
    assert rest[-3:] == ["event: message_stop", 'data: {"type":"message_stop"}', ""]


def test_silence_within_a_stream_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenAI's routes have a comment for it."""
    monkeypatch.setattr(answer_response, "KEEP_ALIVE_SECONDS", 0.05)
    for path, sign in ((MESSAGES, "event: ping"), (CHAT, ": keep-alive")):
        engine = GatedEngine(free=5)
        with (
            running(engine) as server,
            server.client.stream("POST", path, json={**ASK, "stream": True}) as response,
        ):
            seen: list[str] = []
            for line in response.iter_lines():
                seen.append(line)
                if seen.count(sign) == 2:
                    server.call(engine.gate.set)
            assert seen.count(sign) >= 2
            text = "".join(seen)
            assert "one" in text.partition(sign)[0]
            assert "five" in text.rpartition(sign)[2]


def test_a_stream_that_speaks_gets_no_pings(server: RunningServer) -> None:
    """Only silence does."""
    assert "ping" not in server.client.post(MESSAGES, json={**ASK, "stream": True}).text


# Errors


@pytest.mark.parametrize(
    ("request_line", "body", "status", "kind"),
    [
        (f"POST {MESSAGES}", {"messages": 5}, 400, "invalid_request_error"),
        (f"POST {MESSAGES}", {**ASK, "stream": True, "tools": 5}, 400, "invalid_request_error"),
        (f"POST {COUNT}", {"messages": 5}, 400, "invalid_request_error"),
        (f"POST {MESSAGES}", {**ASK, "model": "claude"}, 404, "not_found_error"),
        (f"POST {MESSAGES}/batches", {}, 404, "not_found_error"),
        (f"GET {MESSAGES}/batches/1/results", None, 404, "not_found_error"),
        ("POST /openai/v1/messages/nothing", {}, 404, "not_found_error"),
        ("POST /v1//messages", {}, 404, "not_found_error"),
        (f"GET {MESSAGES}", None, 405, "invalid_request_error"),
        (f"DELETE {COUNT}", None, 405, "invalid_request_error"),
        (f"POST {MESSAGES}", {"messages": "x" * 2**20}, 413, "request_too_large"),
    ],
)
def test_errors_have_anthropics_shape(
    server: RunningServer, request_line: str, body: Any, status: int, kind: str
) -> None:
    """For every path at and below /v1/messages, whether it exists or not."""
    response = server.client.request(*request_line.split(" "), json=body)
    assert response.status_code == status
    assert error_of(response)["type"] == kind


def test_a_body_that_is_no_json_is_an_error(server: RunningServer) -> None:
    """In the same shape."""
    response = server.client.post(MESSAGES, content=b"{")
    assert response.status_code == 400
    assert "not JSON" in error_of(response)["message"]


@pytest.mark.parametrize("path", ["/v1/messagesx", "/v1/message", "/v1/nothing"])
def test_other_paths_have_openais_shape(server: RunningServer, path: str) -> None:
    """A prefix ends at a slash."""
    response = server.client.post(path, json={})
    assert response.status_code == 404
    assert response.json()["error"].keys() == {"message", "type", "param", "code"}
    assert "request-id" not in response.headers


def test_a_prompt_that_is_too_long_says_both_numbers(server: RunningServer) -> None:
    """In the words that Claude Code reads them from, and the package retries nothing."""
    long = {**ASK, "messages": [{"role": "user", "content": "word " * 60_000}]}
    counted = server.client.post(COUNT, json=long).json()["input_tokens"]
    error = error_of(server.client.post(MESSAGES, json=long))
    assert error == {
        "type": "invalid_request_error",
        "message": f"prompt is too long: {counted} tokens > 50000 maximum",
    }


def test_a_prompt_that_leaves_no_room_is_too_long(server: RunningServer) -> None:
    """By a number that is true."""
    few = server.client.post(COUNT, json=HELLO).json()["input_tokens"]
    words = " word" * (49_999 - few)
    full = {**ASK, "messages": [{"role": "user", "content": f"Hello{words}"}]}
    error = error_of(server.client.post(MESSAGES, json=full))
    assert error["message"] == "prompt is too long: 49999 tokens > 49998 maximum"


@pytest.mark.parametrize(
    ("error", "raised", "kind"),
    [
        (EngineOverloaded("full"), anthropic.OverloadedError, "overloaded_error"),
        (ServerError("It broke."), anthropic.InternalServerError, "api_error"),
        (RuntimeError("/root/secret"), anthropic.InternalServerError, "api_error"),
    ],
)
def test_what_fails_before_the_stream_is_a_status(
    error: Exception, raised: type[anthropic.APIStatusError], kind: str
) -> None:
    """With a time to wait where there is too much to do; nothing of the worker leaks."""
    with running(FailsEngine(error, 0)) as server, client_of(server) as client:
        with pytest.raises(raised) as caught:
            client.messages.create(model="demo", stream=True, **ASK)
        assert caught.value.type == kind
        assert caught.value.request_id == caught.value.response.headers["x-request-id"]
        assert "secret" not in str(caught.value)
        busy = isinstance(error, EngineOverloaded)
        assert caught.value.status_code == (529 if busy else 500)
        assert ("retry-after" in caught.value.response.headers) is busy


def test_overload_is_tried_again_by_the_package() -> None:
    """Without a word of the caller's."""

    class Once(GatedEngine):
        asked = 0

        def generate(
            self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
        ) -> AsyncGenerator[Step]:
            self.asked += 1
            if self.asked == 1:
                raise EngineOverloaded("full")
            return super().generate(prompt_ids, sampling, rid)

    with running(Once()) as server, client_of(server, max_retries=1) as client:
        assert client.messages.create(model="demo", **ASK).stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EngineOverloaded("full"), "overloaded_error"),
        (ServerError("It broke."), "api_error"),
    ],
)
def test_what_fails_within_the_stream_is_its_last_event(error: WorkerError, kind: str) -> None:
    """Which the package raises."""
    with running(FailsEngine(error, 5)) as server, client_of(server) as client:
        text = server.client.post(MESSAGES, json={**ASK, "stream": True}).text
        told = {"type": "error", "error": {"type": kind, "message": error.message}}
        data = json.dumps(told, separators=(",", ":"))
        assert text.endswith(f"event: error\ndata: {data}\n\n")
        with (
            pytest.raises(anthropic.APIStatusError, match=error.message),
            client.messages.stream(model="demo", **ASK) as stream,
        ):
            stream.until_done()


def test_until_the_engine_is_ready_requests_are_told_to_wait() -> None:
    """503, which the package tries again, and when to; a dead engine is one, too."""
    with running(ready=False) as server:
        for path in (MESSAGES, COUNT):
            response = server.client.post(path, json=ASK)
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) > 0
            assert error_of(response)["type"] == "overloaded_error"
        server.run(server.engine.start())
        server.run(server.engine.close())
        response = server.client.post(MESSAGES, json=ASK)
        assert response.status_code == 503
        assert error_of(response)["type"] == "overloaded_error"


def test_a_body_that_does_not_come_is_an_error(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """408."""
    monkeypatch.setattr(request_body, "READ_TIMEOUT_SECONDS", 0.1)
    head = f"POST {MESSAGES} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n"
    with server.connect(head.encode()) as connection:
        answer = b""
        while b"request_id" not in answer and (piece := connection.recv(65536)):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"type": "timeout_error"' in answer


# Keys


KEYS = ("first-key-1234", "second-key-5678")


@pytest.fixture(scope="module")
def locked() -> Iterator[RunningServer]:
    with running(api_key=KEYS, max_requests_per_key=1) as server:
        yield server


@pytest.mark.parametrize("path", [MESSAGES, CHAT])
@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": KEYS[0]},
        {"authorization": f"Bearer {KEYS[1]}"},
        {"x-api-key": KEYS[1], "authorization": "Bearer placeholder"},
        {"x-api-key": "placeholder", "authorization": f"Bearer {KEYS[0]}"},
    ],
)
def test_a_key_may_come_in_either_header(
    locked: RunningServer, path: str, headers: dict[str, str]
) -> None:
    """One that is right is enough."""
    assert locked.client.post(path, json=ASK, headers=headers).status_code == 200


@pytest.mark.parametrize("path", [MESSAGES, COUNT, f"{MESSAGES}/nothing"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": "wrong"},
        {"x-api-key": f"Bearer {KEYS[0]}"},
        {"authorization": KEYS[0]},
        {"authorization": "Bearer", "x-api-key": ""},
    ],
)
def test_without_a_key_nothing_is_told(
    locked: RunningServer, path: str, headers: dict[str, str]
) -> None:
    """Not even which routes there are."""
    response = locked.client.post(path, json=ASK, headers=headers)
    assert response.status_code == 401
    assert error_of(response)["type"] == "authentication_error"


def test_the_packages_two_ways_to_send_a_key(locked: RunningServer) -> None:
    """`api_key` is `x-api-key`, `auth_token` a bearer's."""
    for options in ({"api_key": KEYS[0]}, {"api_key": None, "auth_token": KEYS[0]}):
        with client_of(locked, **options) as client:
            assert client.messages.create(model="demo", **ASK).role == "assistant"
    with client_of(locked, api_key="x") as client, pytest.raises(anthropic.AuthenticationError):
        client.messages.create(model="demo", **ASK)


def test_too_many_requests_of_one_key_are_limited() -> None:
    """429 with a time to wait: not the server has too much to do, but this client asks too much."""
    engine = GatedEngine(free=0)
    with running(engine, api_key=KEYS, max_requests_per_key=1) as server:
        headers = {"x-api-key": KEYS[0]}
        body = json.dumps(ASK).encode()
        head = f"POST {MESSAGES} HTTP/1.1\r\nhost: x\r\nx-api-key: {KEYS[0]}\r\n"
        connection = server.connect(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        until(lambda: engine.open)
        response = server.client.post(MESSAGES, json=ASK, headers=headers)
        assert response.status_code == 429
        assert error_of(response)["type"] == "rate_limit_error"
        assert int(response.headers["retry-after"]) > 0
        connection.close()


# Models


def test_models_are_listed_for_both_apis(client: Anthropic, server: RunningServer) -> None:
    """Claude Code discovers them with a limit."""
    page = client.models.list(limit=1000)
    assert [model.id for model in page] == ["demo", "gpt-oss"]
    listed = server.client.get("/v1/models?limit=1000").json()
    assert (listed["first_id"], listed["last_id"]) == ("demo", "gpt-oss")
    assert listed["has_more"] is False
    for entry in listed["data"]:
        model = ModelInfo.model_validate(entry)
        assert model.created_at.timestamp() == entry["created"]
        assert model.max_input_tokens == entry["max_model_len"]
    assert client.models.retrieve("gpt-oss").display_name == "gpt-oss"

"""The HTTP server: routes, statuses, headers, streams, and clients that leave."""

import json
import re
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from openai import APIStatusError, OpenAI, RateLimitError
from openai.types.chat import ChatCompletion

from tests.support.http_server import CHAT, HELLO, GatedEngine, RunningServer, running, until
from tests.support.scripted_engine import tokens
from worker.engine import Sampling, Step
from worker.entrypoints.http import answer_response
from worker.errors import EngineOverloaded, ServerError


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running() as server:
        yield server


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error object, which has OpenAI's four fields."""
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


def events(response: httpx.Response) -> list[str]:
    return [e.removeprefix("data: ") for e in response.text.split("\n\n") if e]


def test_a_chat_is_answered(server: RunningServer) -> None:
    """With OpenAI's object and headers."""
    response = server.client.post(CHAT, json=HELLO)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    completion = ChatCompletion.model_validate(response.json())
    assert completion.choices[0].message.content == "one two three four five"
    assert re.fullmatch(r"req_[0-9a-f]{32}", response.headers["x-request-id"])
    assert 0 <= int(response.headers["openai-processing-ms"]) < 20_000


def test_a_chat_is_streamed(server: RunningServer) -> None:
    """As server-sent events that end in [DONE]."""
    response = server.client.post(CHAT, json={**HELLO, "stream": True})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *chunks, done = events(response)
    assert done == "[DONE]"
    deltas = [json.loads(chunk)["choices"][0]["delta"] for chunk in chunks]
    assert "".join(d.get("content") or "" for d in deltas) == "one two three four five"


def test_a_text_is_completed(server: RunningServer) -> None:
    """By the route of text completions, streamed or not."""
    body = {"prompt": "Count:"}
    whole = server.client.post("/v1/completions", json=body).json()
    *chunks, _ = events(server.client.post("/v1/completions", json={**body, "stream": True}))
    texts = [json.loads(chunk)["choices"][0]["text"] for chunk in chunks]
    assert "".join(texts) == whole["choices"][0]["text"]


@pytest.mark.parametrize("prefix", ["", "/openai"])
def test_models_are_listed(server: RunningServer, prefix: str) -> None:
    """All of them, or one by its name."""
    models = server.client.get(f"{prefix}/v1/models").json()["data"]
    assert [m["id"] for m in models] == ["demo", "gpt-oss"]
    assert server.client.get(f"{prefix}/v1/models/gpt-oss").json()["id"] == "gpt-oss"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
        ("POST", "/v1/embeddings", 404),
        ("POST", "/v1/responses", 400),
        ("POST", "/v1/responses/compact", 400),
        ("POST", "/v1/responses/resp_1/cancel", 400),
        ("GET", "/v1/responses/resp_1", 404),
        ("PUT", "/v1/responses/resp_1", 405),
        ("GET", "/v1/models/gpt-5", 404),
        ("GET", "/v1/models/%0D", 404),
        ("GET", CHAT, 405),
        ("POST", "/v1/models", 405),
        ("DELETE", "/v1/completions", 405),
    ],
)
def test_other_routes_and_methods_are_errors(
    server: RunningServer, method: str, path: str, status: int
) -> None:
    """OpenAI's error object, with the status of the case."""
    response = server.client.request(method, path, json={})
    assert response.status_code == status
    assert error_of(response)["type"] == "invalid_request_error"


@pytest.mark.parametrize("keys", [{}, {"api_key": "secret"}])
def test_the_api_documents_itself_if_asked_to(keys: dict[str, Any]) -> None:
    """API_DOCS=true: the OpenAPI document, and a page that shows it; to a browser without a key."""
    with running(api_docs=True, **keys) as server, httpx.Client(base_url=server.url) as browser:
        document = browser.get("/openapi.json")
        assert document.headers["content-type"] == "application/json"
        assert CHAT in document.json()["paths"]
        page = browser.get("/docs")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert 'fetch("openapi.json")' in page.text
        assert not re.search(r"https?://", page.text)  # nothing is loaded from elsewhere
        assert browser.get("/v1/models").status_code == (401 if keys else 200)


def test_a_405_lists_all_the_methods_of_a_path(server: RunningServer) -> None:
    """Also of one that several routes have."""
    allowed = server.client.put("/v1/responses/resp_1", json={}).headers["allow"]
    assert {method.strip() for method in allowed.split(",")} == {"GET", "HEAD", "DELETE"}


def test_a_wrong_request_is_refused_before_the_stream(server: RunningServer) -> None:
    """A status, not an event: nothing was sent yet."""
    response = server.client.post(CHAT, json={"messages": "no", "stream": True})
    assert response.status_code == 400
    assert error_of(response)["param"] == "messages"


def test_the_id_of_a_request_is_the_clients_if_it_has_one(server: RunningServer) -> None:
    """Unless it could do harm in a log."""
    ids = {"x-request-id": "trace-1"}, {"x-request-id": "a b\tc"}
    mine, ours = (server.client.get("/ping", headers=i).headers["x-request-id"] for i in ids)
    assert mine == "trace-1"
    assert ours.startswith("req_")


def test_until_the_engine_is_ready_requests_are_told_to_wait() -> None:
    """/ping says 204, as RunPod's load balancer has it; a request gets 503 and when to retry."""
    with running(ready=False) as server:
        assert server.client.get("/ping").status_code == 204
        assert server.client.get("/health").status_code == 503
        for response in (server.client.post(CHAT, json=HELLO), server.client.get("/v1/models")):
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) > 0
            assert error_of(response)["code"] == "model_loading"
        server.run(server.engine.start())
        assert server.client.get("/ping").status_code == 200
        assert server.client.get("/health").json() == {"status": "ready"}


def test_a_dead_engine_is_unhealthy() -> None:
    """Every route says 503."""
    with running() as server:
        server.run(server.engine.close())
        assert server.client.get("/ping").status_code == 503
        assert server.client.get("/health").status_code == 503
        response = server.client.post(CHAT, json=HELLO)
        assert response.status_code == 503
        assert error_of(response)["code"] == "engine_dead"


class FailingEngine(GatedEngine):
    """Fails each request after some steps, once its gate is open."""

    def __init__(self, error: Exception, after: int, *, gated: bool = False) -> None:
        super().__init__()
        self._error = error
        self._after = after
        if not gated:
            self.gate.set()

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        await self.gate.wait()
        made = 0
        async with aclosing(super().generate(prompt_ids, sampling, rid)) as steps:
            async for step in steps:
                if made == self._after:
                    raise self._error
                made += 1
                yield step


def test_a_full_queue_is_429_with_the_time_to_wait() -> None:
    """So that the client's own retries do the right thing."""
    with running(FailingEngine(EngineOverloaded("full"), 0)) as server:
        response = server.client.post(CHAT, json={**HELLO, "stream": True})
        assert response.status_code == 429
        assert 1 <= int(response.headers["retry-after"]) <= 60
        client = OpenAI(base_url=f"{server.url}/v1", api_key="-", max_retries=0)
        with client, pytest.raises(RateLimitError):
            client.chat.completions.create(model="demo", **HELLO)


def test_an_error_within_a_stream_is_an_event() -> None:
    """The status has gone out by then; no [DONE] follows."""
    with running(FailingEngine(ServerError("It broke."), 4)) as server:
        response = server.client.post(CHAT, json={**HELLO, "stream": True})
        assert response.status_code == 200
        assert json.loads(events(response)[-1])["error"]["message"] == "It broke."


def test_an_unforeseen_error_says_nothing_of_the_worker(caplog: Any) -> None:
    """500 for the client, the traceback for the log."""
    with running(FailingEngine(RuntimeError("/root/secret"), 0)) as server:
        response = server.client.post(CHAT, json=HELLO)
        assert response.status_code == 500
        assert "secret" not in response.text
        client = OpenAI(base_url=f"{server.url}/v1", api_key="-", max_retries=0)
        with client, pytest.raises(APIStatusError, match="The worker failed"):
            client.chat.completions.create(model="demo", **HELLO)
    assert "/root/secret" in caplog.text


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("free", [0, 4])
def test_a_client_that_leaves_aborts_its_generation(stream: bool, free: int) -> None:
    """At once, also while no token is being sent."""
    engine = GatedEngine(free=free)
    with running(engine) as server:
        body = json.dumps({**HELLO, "stream": stream}).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        connection = server.connect(head.encode() + body)
        until(lambda: engine.open)
        if stream and free:
            assert connection.recv(10)
        connection.close()
        print(f"aborted after {until(lambda: engine.cancelled) * 1000:.0f} ms")
        assert not engine.open


def test_a_request_that_was_dropped_before_its_turn_is_not_read() -> None:
    """A flood of them, that came while the server was busy, keeps nobody waiting."""
    busy, free = threading.Event(), threading.Event()

    def work() -> None:
        busy.set()
        free.wait(20)

    with running() as server:
        request = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}"
        server.call(work)
        busy.wait(20)
        for _ in range(20):
            server.connect(request.encode()).close()
        free.set()
        assert server.client.post(CHAT, json={}).status_code == 400
        time.sleep(0.2)
        answered = f'gpt_oss_requests_total{{route="{CHAT}",status="400"}} 1.0'
        assert answered in server.client.get("/metrics").text


def test_a_stream_is_kept_alive_until_its_first_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """By comments, which clients skip; what comes after them is the stream."""
    monkeypatch.setattr(answer_response, "KEEP_ALIVE_SECONDS", 0.05)
    engine = GatedEngine(free=0)
    with (
        running(engine) as server,
        server.client.stream("POST", CHAT, json={**HELLO, "stream": True}) as response,
    ):
        lines = response.iter_lines()
        assert [next(lines) for _ in range(4)] == [": keep-alive", ""] * 2
        server.call(engine.gate.set)
        rest = [line for line in lines if line and not line.startswith(":")]
        assert rest[-1] == "data: [DONE]"


def test_a_stream_is_kept_alive_between_two_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments that are held back, or a busy engine, can be silent for long."""
    monkeypatch.setattr(answer_response, "KEEP_ALIVE_SECONDS", 0.05)
    engine = GatedEngine(free=4)
    with (
        running(engine) as server,
        server.client.stream("POST", CHAT, json={**HELLO, "stream": True}) as response,
    ):
        lines = response.iter_lines()
        begun = next(line for line in lines if line)
        assert begun.startswith("data: ")
        assert next(line for line in lines if line.startswith(":")) == ": keep-alive"
        server.call(engine.gate.set)
        rest = [line for line in lines if line and not line.startswith(":")]
        assert rest[-1] == "data: [DONE]"


def test_an_error_after_a_comment_is_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """A status cannot be sent any more."""
    monkeypatch.setattr(answer_response, "KEEP_ALIVE_SECONDS", 0.05)
    engine = FailingEngine(ServerError("It broke."), 0, gated=True)
    with (
        running(engine) as server,
        server.client.stream("POST", CHAT, json={**HELLO, "stream": True}) as response,
    ):
        lines = response.iter_lines()
        assert next(lines) == ": keep-alive"
        server.call(engine.gate.set)
        data = [line for line in lines if line.startswith("data: ")]
        assert json.loads(data[-1].removeprefix("data: "))["error"]["message"] == "It broke."


def test_a_slow_reader_is_not_generated_for_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """While its socket is full nothing is pulled; taking nothing for long, it is dropped."""
    monkeypatch.setattr(answer_response, "STALL_TIMEOUT_SECONDS", 1.0)
    script = tokens("<|channel|>final<|message|>" + " word" * 40_000 + "<|return|>")
    engine = GatedEngine(script)
    with running(engine) as server:
        body = json.dumps({**HELLO, "stream": True}).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        connection = server.connect(head.encode() + body)
        until(lambda: engine.cancelled, 15)
        assert not engine.open
        connection.close()


def test_cors_is_off_unless_it_is_set(server: RunningServer) -> None:
    """A browser's page may ask only where CORS_ORIGINS names it; preflights need no key."""
    preflight = {"origin": "https://a.example", "access-control-request-method": "POST"}
    assert server.client.options(CHAT, headers=preflight).status_code == 405
    with running(cors_origins=("https://a.example",), api_key=("k",)) as open_door:
        response = open_door.client.options(CHAT, headers=preflight)
        assert response.headers["access-control-allow-origin"] == "https://a.example"
        response = open_door.client.post(CHAT, json=HELLO, headers={"origin": "https://a.example"})
        assert response.status_code == 401
        assert response.headers["access-control-allow-origin"] == "https://a.example"

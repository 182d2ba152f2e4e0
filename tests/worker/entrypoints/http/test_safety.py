"""Who may ask, and what may be sent: nothing leaks, nothing falls."""

import json
import logging
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.http_server import CHAT, HELLO, GatedEngine, RunningServer, running, until
from worker.entrypoints.http import protocol, request_body

KEYS = ("first-key-1234", "second-key-5678")
BEARER = {"authorization": f"Bearer {KEYS[1]}"}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running(api_key=KEYS, max_body_mb=1) as server:
        yield server


def alive(server: RunningServer) -> bool:
    """Whether a good client is answered."""
    return server.client.post(CHAT, json=HELLO, headers=BEARER).status_code == 200


def answer_to(server: RunningServer, *parts: bytes) -> bytes:
    """What a bare connection gets for what it sends, until the server hangs up."""
    with server.connect() as connection:
        try:
            for part in parts:
                connection.sendall(part)
            return received(connection)
        except (ConnectionResetError, BrokenPipeError):
            return b""


def received(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def post(body: bytes, *headers: str) -> bytes:
    lines = [f"POST {CHAT} HTTP/1.1", "host: x", "connection: close", *headers]
    lines += [f"authorization: Bearer {KEYS[0]}", f"content-length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("path", ["/v1/models", CHAT, "/metrics", "/", "/docs", "/v1/nothing"])
@pytest.mark.parametrize(
    "header",
    [None, "Bearer", "Bearer wrong", f"Basic {KEYS[0]}", KEYS[0], f"Bearer {KEYS[0]}x"],
)
def test_nothing_is_readable_without_a_key(
    server: RunningServer, path: str, header: str | None
) -> None:
    """Not even which routes there are."""
    response = server.client.get(path, headers={"authorization": header} if header else {})
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert response.headers["www-authenticate"] == "Bearer"


def test_a_key_that_is_not_ascii_is_merely_wrong(server: RunningServer) -> None:
    """Comparing it is no error."""
    response = server.client.get(
        "/v1/models", headers={b"authorization": "Bearer schlüssel".encode()}
    )
    assert response.status_code == 401


@pytest.mark.parametrize("path", ["/ping", "/health"])
def test_health_checks_need_no_key(server: RunningServer, path: str) -> None:
    """The platform has none."""
    assert server.client.get(path).status_code == 200


@pytest.mark.parametrize("key", KEYS)
def test_each_key_opens_everything(server: RunningServer, key: str) -> None:
    """The scheme's name in any case."""
    for header in (f"Bearer {key}", f"bearer {key}"):
        response = server.client.get("/v1/models", headers={"authorization": header})
        assert response.status_code == 200
    assert server.client.get("/metrics", headers=BEARER).status_code == 200


def test_no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever happens to a request, at the most talkative level."""
    caplog.set_level(logging.DEBUG)
    with running(api_key=KEYS, hf_token="hf_secret") as server:
        for key in (*KEYS, "wrong-key-9999"):
            headers = {"authorization": f"Bearer {key}"}
            server.client.post(CHAT, json=HELLO, headers=headers)
            server.client.post(CHAT, content=b"{", headers=headers)
            server.client.get("/v1/models", params={"api_key": key}, headers=headers)
    worker_lines = [r.getMessage() for r in caplog.records if not r.name.startswith("httpcore")]
    assert any("/v1/models" in line for line in worker_lines)
    for secret in (*KEYS, "wrong-key-9999", "hf_secret"):
        assert not [line for line in worker_lines if secret in line and "HTTP Request" not in line]
        assert secret not in repr(server.settings)


def test_a_key_can_run_only_so_many_requests_at_once() -> None:
    """The next one is told when to come again; another key is not concerned."""
    engine = GatedEngine(free=0)
    stream = {**HELLO, "stream": True}
    with running(engine, api_key=KEYS, max_requests_per_key=1) as server:
        request = post(json.dumps(stream).encode())
        with server.connect(request):
            until(lambda: engine.open)
            first = {"authorization": f"Bearer {KEYS[0]}"}
            response = server.client.post(CHAT, json=HELLO, headers=first)
            assert response.status_code == 429
            assert response.json()["error"]["code"] == "rate_limit_exceeded"
            assert int(response.headers["retry-after"]) >= 1
            assert server.client.get("/v1/models", headers=BEARER).status_code == 200
            server.call(engine.gate.set)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"messages": NaN}', "not JSON"),
        (b'{"n": ' + b"9" * 10_000 + b"}", "not JSON"),
        (b'{"messages": "\xff\xfe"}', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"[" * 200 + b"]" * 200, "nested more than 100 levels"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "nested more than 100 levels"),
        (b"[" * 500_000, "nested more than 100 levels"),
        (b"[]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
    ],
)
def test_a_body_that_is_no_request_is_a_clean_400(
    server: RunningServer, sent: bytes, message: str
) -> None:
    """It says what is wrong, and the server goes on."""
    response = server.client.post(CHAT, content=sent, headers=BEARER)
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]
    assert alive(server)


@pytest.mark.parametrize("value", [b"1e999", b"1" * 400, b'{"enum": [-1e999]}'])
def test_a_number_that_no_double_holds_is_a_clean_400(server: RunningServer, value: bytes) -> None:
    """Wherever it stands in a tool's schema."""
    tool = b'{"type": "function", "function": {"name": "f", "parameters": {"default": %b}}}' % value
    messages = b'[{"role": "user", "content": "Hi."}]'
    sent = b'{"messages": %b, "tools": [%b]}' % (messages, tool)
    response = server.client.post(CHAT, content=sent, headers=BEARER)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "tools"
    assert alive(server)


def test_a_hundred_levels_are_not_too_deep() -> None:
    """The limit is where it says."""
    assert request_body.parse_json(b"[" * 100 + b"]" * 100)
    with pytest.raises(request_body.BadRequest):
        request_body.parse_json(b"[" * 101 + b"]" * 101)


def test_half_a_character_that_javascript_sends_is_read(server: RunningServer) -> None:
    """Clients that cut a text within an emoji send an unpaired surrogate, as an escape."""
    content = b'{"messages": [{"role": "user", "content": "\\ud83d"}]}'
    assert server.client.post(CHAT, content=content, headers=BEARER).status_code == 200


def test_a_large_body_is_refused_when_it_is_announced(server: RunningServer) -> None:
    """413, without reading it."""
    head = post(b"").replace(b"content-length: 0", b"content-length: 1000000000")
    answer = answer_to(server, head)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"must not be larger than 1 MB" in answer
    assert alive(server)


def test_a_large_body_is_refused_while_it_comes(server: RunningServer) -> None:
    """Also where its length is not announced."""

    def pieces() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * 65536

    response = server.client.post(CHAT, content=pieces(), headers=BEARER)
    assert response.status_code == 413
    assert alive(server)


def test_a_body_that_never_comes_is_given_up(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """408: a slow sender holds nothing for long."""
    monkeypatch.setattr(request_body, "READ_TIMEOUT_SECONDS", 0.1)
    answer = answer_to(server, post(b"").replace(b"content-length: 0", b"content-length: 10"), b"{")
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_head_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is dropped, whether it has sent something or nothing."""
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_SECONDS", 0.1)
    with running() as server:
        assert answer_to(server) == b""
        assert answer_to(server, b"GET /ping HT") == b""
        assert server.client.get("/ping").status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 200_000,
        b"GET / HTTP/1.1\r\nx: " + b"a" * 200_000,
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 50_000,
    ],
)
def test_a_flood_of_headers_is_cut_off(server: RunningServer, head: bytes) -> None:
    """431, before more of it is held."""
    with server.connect() as connection:
        try:
            for at in range(0, len(head), 8192):
                connection.sendall(head[at : at + 8192])
                time.sleep(0.001)
            answer = received(connection)
        except (ConnectionResetError, BrokenPipeError):
            answer = b"HTTP/1.1 431 "  # the answer was lost with the connection
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert alive(server)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_a_400(server: RunningServer, data: bytes) -> None:
    """And the connection is closed."""
    answer = answer_to(server, data)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["type"] == "invalid_request_error"


def test_a_half_closed_connection_counts_as_gone() -> None:
    """Its generation is aborted."""
    engine = GatedEngine(free=0)
    with running(engine, api_key=KEYS) as server:
        with server.connect(post(json.dumps({**HELLO, "stream": True}).encode())) as connection:
            until(lambda: engine.open)
            connection.shutdown(socket.SHUT_WR)
            until(lambda: engine.cancelled)
        assert not engine.open


def test_many_connections_opened_and_dropped_leave_nothing(server: RunningServer) -> None:
    """The server forgets them."""
    for _ in range(20):
        connections = [server.connect(b"GET /ping HTTP/1.1\r\n") for _ in range(50)]
        for connection in connections:
            connection.close()
    until(lambda: len(server.server.server_state.connections) <= 2)
    assert alive(server)


def test_a_second_request_before_the_first_is_answered_is_dropped() -> None:
    """No client pipelines; and what is abandoned so would run on."""
    engine = GatedEngine(free=0)
    with running(engine, api_key=KEYS) as server:
        request = post(json.dumps({**HELLO, "stream": True}).encode())
        request = request.replace(b"connection: close\r\n", b"")
        with server.connect(request) as connection:
            until(lambda: engine.open)
            connection.sendall(request)
            until(lambda: engine.cancelled)

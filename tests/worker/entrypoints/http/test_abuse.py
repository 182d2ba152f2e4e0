"""Abuse of the API as it ships, a real engine behind it: good clients are answered all the while.

Rule: what a good client waits for, and what the process holds, is printed beside the same figures
without abuse. Statuses, open files and memory are asserted; times are not, they are the machine's.
"""

import json
import socket
import statistics
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count
from types import TracebackType
from typing import Self

import psutil
import pytest

from tests.support.http_server import CHAT, until
from tests.support.serving import BEARER, Serving

pytestmark = pytest.mark.slow

TWO_AND_TWO = {
    "messages": [{"role": "user", "content": "What is 2+2?"}],
    "temperature": 0,
    "max_tokens": 16,
}
STREAM = json.dumps({**TWO_AND_TWO, "stream": True, "max_tokens": 2000}).encode()
HEAD = (
    f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    f"authorization: {BEARER['authorization']}\r\n"
).encode()
MB = 2**20
ENOUGH = 5
"""Requests of the good client, for a median."""


@pytest.fixture(scope="module", autouse=True)
def warmed_up(serving: Serving) -> None:
    for _ in range(20):
        answered(serving)


def answered(serving: Serving) -> float:
    """Seconds of a good client's request."""
    started = time.monotonic()
    response = serving.client.post(CHAT, json=TWO_AND_TWO)
    assert response.status_code == 200
    assert response.json()["usage"]["completion_tokens"] > 0
    return time.monotonic() - started


def connect(serving: Serving, data: bytes = b"") -> socket.socket:
    port = int(serving.url.rpartition(":")[2])
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(data)
    return connection


def post(body: bytes) -> bytes:
    return HEAD + b"content-length: %d\r\n\r\n" % len(body) + body


def answer_to(connection: socket.socket) -> bytes:
    """All that comes until the server hangs up."""
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionResetError:
        pass  # what came before it counts
    return data


class Held:
    """What the serving process holds, before and after."""

    def __init__(self, serving: Serving) -> None:
        self._process = psutil.Process(serving.process.pid)
        self.files = self._process.num_fds()
        self.memory = self._process.memory_info().rss

    def is_back(self, serving: Serving, spare_mb: int) -> None:
        """Raises unless as many files are open as before, and memory is within `spare_mb`."""
        until(lambda: self._process.num_fds() <= self.files + 2, 60)
        until(lambda: running(serving) == 0, 60)
        grown = (self._process.memory_info().rss - self.memory) / MB
        print(f"memory: {self.memory / MB:.0f} MB, afterwards {grown:+.1f} MB")
        assert grown < spare_mb


def running(serving: Serving) -> float:
    """Generations that the engine works on."""
    lines = serving.client.get("/metrics").text.splitlines()
    (line,) = [line for line in lines if line.startswith("gpt_oss_requests_running ")]
    return float(line.split()[-1])


class GoodClient(threading.Thread):
    """Asks one request after the other, for as long as it is in context."""

    def __init__(self, serving: Serving) -> None:
        super().__init__()
        self._serving = serving
        self._over = threading.Event()
        self._seconds: list[float] = []
        self._failure: Exception | None = None

    def run(self) -> None:
        try:
            while not self._over.is_set():
                self._seconds.append(answered(self._serving))
        except Exception as error:  # noqa: BLE001 - the test's own thread raises it
            self._failure = error

    def times(self, least: int) -> Iterator[int]:
        """Counts as far as told, and on until enough was asked meanwhile for a median."""
        for time_ in count():
            if time_ >= least and (len(self._seconds) >= ENOUGH or not self.is_alive()):
                return
            yield time_

    def __enter__(self) -> Self:
        self._alone = statistics.median(answered(self._serving) for _ in range(10))
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._over.set()
        self.join()
        if self._failure is not None:
            raise self._failure
        median = statistics.median(self._seconds)
        print(
            f"good client: {len(self._seconds)} requests, median {median * 1000:.0f} ms, "
            f"{median / self._alone:.2f} of its time alone"
        )


@contextmanager
def abused(serving: Serving, spare_mb: int = 32) -> Generator[GoodClient]:
    """A good client is answered meanwhile; afterwards nothing is held."""
    held = Held(serving)
    with GoodClient(serving) as good:
        yield good
    held.is_back(serving, spare_mb)


def test_ten_thousand_connections_opened_and_dropped(serving: Serving) -> None:
    """Some with nothing, some within a head, some within a body."""
    begun = (b"", HEAD, post(b"x" * 100)[:-50])
    with abused(serving) as good:
        for round_ in good.times(100):
            connections = [connect(serving, begun[round_ % 3]) for _ in range(100)]
            for connection in connections:
                connection.close()


def test_two_thousand_streams_dropped_before_their_first_token(serving: Serving) -> None:
    """Real requests, in waves of a hundred: they take what such requests take, and then nothing."""
    with abused(serving) as good:
        for _ in good.times(20):
            connections = [connect(serving, post(STREAM)) for _ in range(100)]
            for connection in connections:
                connection.close()


def test_a_thousand_connections_that_say_nothing(serving: Serving) -> None:
    """They are let be until their time is over; nobody else waits for them."""
    with abused(serving):
        connections = [connect(serving) for _ in range(900)]
        time.sleep(3)
        for connection in connections:
            connection.close()


def test_a_body_of_a_gigabyte(serving: Serving) -> None:
    """Rejected by its length, or where it has none, as soon as it is too large."""
    piece = b"x" * MB
    with abused(serving):
        with connect(serving, HEAD + b"content-length: 1073741824\r\n\r\n") as declared:
            assert answer_to_all(declared, (piece for _ in range(1024))).startswith(
                b"HTTP/1.1 413 "
            )
        chunk = b"%x\r\n" % MB + piece + b"\r\n"
        with connect(serving, HEAD + b"transfer-encoding: chunked\r\n\r\n") as chunked:
            assert answer_to_all(chunked, (chunk for _ in range(1024))).startswith(b"HTTP/1.1 413 ")


def answer_to_all(connection: socket.socket, pieces: Iterator[bytes]) -> bytes:
    """What comes while `pieces` are sent, as far as the server takes them."""
    answers: list[bytes] = []
    reading = threading.Thread(target=lambda: answers.append(answer_to(connection)))
    reading.start()
    for piece in pieces:
        if not reading.is_alive():
            break
        try:
            connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            break
    reading.join()
    return answers[0]


def test_streams_that_nobody_reads(serving: Serving) -> None:
    """They fill their sockets and no more; dropped, they are over at once."""
    with abused(serving):
        connections = [connect(serving, post(STREAM)) for _ in range(16)]
        time.sleep(3)
        for connection in connections:
            connection.close()


def test_requests_that_come_byte_by_byte(serving: Serving) -> None:
    """Each is answered in the end."""
    request = post(json.dumps(TWO_AND_TWO).encode())
    with abused(serving) as good:
        for _ in good.times(1):
            connections = [connect(serving) for _ in range(8)]
            for byte in request:
                for connection in connections:
                    connection.send(bytes([byte]))
            for connection in connections:
                assert answer_to(connection).startswith(b"HTTP/1.1 200 ")
                connection.close()


def test_half_closed_streams(serving: Serving) -> None:
    """They count as gone."""
    with abused(serving) as good:
        for _ in good.times(50):
            with connect(serving, post(STREAM)) as connection:
                connection.shutdown(socket.SHUT_WR)
                answer_to(connection)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(b'{"messages": "\xff\xfe"}'), b"400"),
        (post(b"[" * 10 * MB), b"400"),
        (post(b'{"a":' * MB), b"400"),
        (HEAD + b"x: y\r\n" * 200_000 + b"\r\n", b"431"),
        (HEAD + b"x: " + b"y" * 2 * MB + b"\r\n\r\n", b"431"),
    ],
    ids=["bad UTF-8", "deep JSON", "deeper JSON", "many headers", "a long header"],
)
def test_requests_out_of_bounds(serving: Serving, request_: bytes, status: bytes) -> None:
    """Rejected with a status, fifty times over."""
    answers: list[bytes] = []
    with abused(serving, spare_mb=64) as good:
        for _ in good.times(50):
            with connect(serving) as connection:
                answers.append(answer_to_all(connection, iter([request_[:-2], request_[-2:]])))
    seen = [answer for answer in answers if answer]
    print(f"{len(seen)} of {len(answers)} answers were read: a reset overtakes the others")
    assert seen
    assert all(answer.startswith(b"HTTP/1.1 " + status) for answer in seen)


def test_no_key_is_in_the_log_and_no_failure(serving: Serving) -> None:
    """After all of the above."""
    log = serving.log.read_text()
    assert "secret-key" not in log
    assert "Traceback" not in log

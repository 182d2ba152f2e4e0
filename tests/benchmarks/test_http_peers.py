"""The HTTP benchmark: what its client measures, and what is made of it."""

import asyncio
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fake_scheduler import TITLE
from benchmarks.http_client import Reading, Received, ping, stream
from benchmarks.http_peers import Spent, figures_of_round, is_stand_in
from tests.support.http_server import ANSWER, HELLO, running
from worker.api.chat import render_prompt

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
BODY = {**HELLO, "stream": True, "stream_options": {"include_usage": True}}


def chunk(**delta: str) -> bytes:
    return f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n".encode()


ROLE = chunk(role="assistant", content="")
END = f"data: {json.dumps({'choices': [], 'usage': USAGE})}\n\ndata: [DONE]\n\n".encode()


def read(*pieces: tuple[bytes, float]) -> Received:
    """An answer that was asked for at 1.0."""
    reading = Reading(1.0)
    for data, at in pieces:
        reading.take(data, at)
    return reading.received()


def test_the_first_text_is_what_counts() -> None:
    """Not the head, nor a chunk without text."""
    answer = read(
        (b"HTTP/1.1 200 OK\r\n\r\n", 1.1), (ROLE, 1.2), (chunk(content="a"), 1.5), (END, 1.75)
    )
    assert answer == Received(0.5, [0.25], 7, 3)


@given(st.integers(1, 400), st.integers(0, 100))
def test_however_the_bytes_are_cut(size: int, words: int) -> None:
    """All reads after the first text are gaps; the counts are those of the usage."""
    whole = ROLE + chunk(content="a") * (words + 1) + END
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    answer = read(*((piece, float(at)) for at, piece in enumerate(pieces, start=2)))
    text = whole.index(b'"content": "a') + len(b'"content": "')
    assert answer.ttft == text // size + 1
    assert len(answer.gaps) == len(pieces) - answer.ttft
    assert (answer.prompt_tokens, answer.completion_tokens) == (7, 3)


@pytest.mark.parametrize("data", [b"", ROLE + END, chunk(content="a")])
def test_what_is_not_a_whole_answer_ends_the_benchmark(data: bytes) -> None:
    """It would count as a fast one."""
    with pytest.raises(ValueError, match="not a whole answer"):
        read((data, 1.0))


def test_a_stream_of_a_server() -> None:
    with running() as server:
        received = asyncio.run(stream(server.address[1], BODY))
    assert received.prompt_tokens == len(render_prompt(BODY))
    assert received.completion_tokens == len(ANSWER)
    assert received.ttft > 0


def test_an_error_is_no_answer() -> None:
    """The benchmark shows it."""
    with running() as server, pytest.raises(ValueError, match="messages"):
        asyncio.run(stream(server.address[1], {"stream": True}))


def test_pings_go_on_until_they_are_cancelled() -> None:
    """Several on one connection, each with its time."""

    async def pinged(port: int) -> list[float]:
        seconds: list[float] = []
        task = asyncio.create_task(ping(port, "/ping", seconds))
        while len(seconds) < 3 and not task.done():  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return seconds

    with running() as server:
        assert all(each > 0 for each in asyncio.run(pinged(server.address[1])))


def test_a_ping_that_fails_ends_the_benchmark() -> None:
    """A server that is ill is not compared."""
    with running() as server, pytest.raises(ValueError, match="404"):
        asyncio.run(ping(server.address[1], "/nothing", []))


def test_the_stand_in_of_the_scheduler_is_not_counted() -> None:
    """Its process is known by its title."""
    import psutil

    waits = "print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", waits, TITLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as one:
        assert one.stdout
        one.stdout.readline()  # its command line can be read only once it runs
        assert is_stand_in(psutil.Process(one.pid))
    assert not is_stand_in(psutil.Process(os.getpid()))


def test_the_figures_of_a_round() -> None:
    """All processes count for the CPU; times are in milliseconds."""
    received = [Received(0.1, [0.01, 0.03], 7, 50), Received(0.3, [0.02], 7, 50)]
    figures = figures_of_round(received, [0.001, 0.002], Spent(0.004, 0.001, 2.0))
    assert figures == pytest.approx(
        {
            "speed": 50,
            "CPU": 50,
            "main process": 40,
            "TTFT": 200,
            "gap p50": 20,
            "gap p99": 30,
            "health p99": 2,
        }
    )

"""The scenarios that every client runs, and its report in JSON.

Each `with_*.py` in this folder is one client, run by its own interpreter. Rule: it uses the client
as the client's documentation does, changing only the base URL, the key and the model's name, and
reports what the client returned as plain values. The expected values are in tests/test_clients.py.
A client of several APIs is told by its argument which one to use.
"""

import json
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

API = sys.argv[1] if len(sys.argv) > 1 else "chat"
URL = os.environ["WORKER_URL"]
KEY = os.environ["WORKER_KEY"]
BUSY_KEY = os.environ["WORKER_BUSY_KEY"]
SLOTS = int(os.environ["MAX_REQUESTS_PER_KEY"])
RETRY_AFTER = 1
"""The least Retry-After that the server sends, in seconds."""
MODEL = os.environ["WORKER_MODEL"]
CHOSEN = os.environ.get("SCENARIOS", "").split()
"""The names of the only scenarios to run, if any are chosen."""

HELLO = "Say hello."
COMPARE = "Which city is warmer?"
BOTH = "Ask for both at once."
DESCRIBE = "Describe Paris."
DESCRIBE_BY_CALL = "Describe Paris by a call."

DEGREES = {"Paris": 21, "Oslo": 9}
cities_queried: list[str] = []
"""The arguments of the tool's calls in the current scenario."""


def get_weather(city: str) -> str:
    """The weather in a city."""
    cities_queried.append(city)
    return f"{city}: {DEGREES[city]} degrees"


class Ask(NamedTuple):
    """One request: where to, with which key, and what."""

    url: str = URL
    key: str = KEY
    model: str = MODEL
    text: str = HELLO
    top_p: float = 1.0
    retries: int = 0

    @property
    def anthropic_url(self) -> str:
        """The base URL as Anthropic's clients take it."""
        return self.url.removesuffix("/v1")


PLAIN = Ask()


def report(
    ask: Callable[[Ask], str],
    pieces: Callable[[Ask], list[str]],
    *scenarios: Callable[[], object],
    waits: bool = True,
) -> None:
    """Runs the scenarios and prints their results, by name, as one line of JSON.

    `ask` returns an answer's text, `pieces` its streamed parts: for the common scenarios, which
    need nothing else. `waits`: whether the client can wait by itself when the server is busy.
    """

    def chat() -> str:
        return ask(PLAIN)

    def stream() -> dict:
        got = pieces(PLAIN)
        return {"text": "".join(got), "in pieces": len(got) > 1}

    def errors() -> dict:
        return _errors(ask, pieces)

    def retries() -> dict:
        return _retries(ask)

    every = (chat, stream, *scenarios, errors, *((retries,) if waits else ()))
    chosen = [each for each in every if not CHOSEN or each.__name__ in CHOSEN]
    print(json.dumps({each.__name__: _outcome(each) for each in chosen}))


def _outcome(scenario: Callable[[], object]) -> object:
    cities_queried.clear()
    try:
        return scenario()
    except Exception as error:  # noqa: BLE001 - the other scenarios still run
        traceback.print_exc(file=sys.stderr)
        return f"{type(error).__name__}: {error}"


def _errors(ask: Callable[[Ask], object], pieces: Callable[[Ask], object]) -> dict[str, str]:
    """The class of the client's exception in each case, without retries."""
    failing = Ask(url=os.environ["FAILING_URL"])
    cases = {
        "wrong key": Ask(key="wrong"),
        "bad value": Ask(top_p=3.0),
        "unknown model": Ask(model="another"),
        "too long": Ask(text="word " * 9000),
        "failing": failing,
        "booting": Ask(url=os.environ["BOOTING_URL"]),
    }
    raised = {name: _raised(ask, case) for name, case in cases.items()}
    raised["failing in mid-stream"] = _raised(pieces, failing)
    with all_slots_taken():
        raised["too many"] = _raised(ask, Ask(key=BUSY_KEY))
    return raised


def _raised(ask: Callable[[Ask], object], case: Ask) -> str:
    try:
        return f"no error: {ask(case)!r}"
    except Exception as error:  # noqa: BLE001 - its class is the result
        return type(error).__name__


def _retries(ask: Callable[[Ask], str]) -> dict[str, object]:
    """A request with retries, whose key is at its limit of concurrent requests for a moment."""
    started = time.monotonic()
    with all_slots_taken(for_seconds=0.5):
        got = ask(Ask(key=BUSY_KEY, retries=3))
    return {"answer": got, "waited": time.monotonic() - started >= RETRY_AFTER}


@contextmanager
def all_slots_taken(for_seconds: float | None = None) -> Generator[None]:
    """Keeps the busy key at its limit of concurrent requests, with requests that send no body."""
    connections = [_open_slot() for _ in range(SLOTS)]
    release = threading.Timer(for_seconds or 60, lambda: [each.close() for each in connections])
    release.start()
    try:
        yield
    finally:
        release.cancel()
        for each in connections:
            each.close()


def _open_slot() -> socket.socket:
    """Opens a request that the server has begun to read: it has replied 100 Continue."""
    address = urlsplit(URL)
    connection = socket.create_connection((address.hostname, address.port), timeout=20)
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n"
        b"content-length: 9\r\nauthorization: Bearer " + BUSY_KEY.encode() + b"\r\n\r\n"
    )
    if not connection.recv(100).startswith(b"HTTP/1.1 100"):
        raise ConnectionError("The server did not reply 100 Continue.")
    return connection

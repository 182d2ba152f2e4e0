"""What every client is asked to do, and how it tells what it saw: a report in JSON.

Each `with_*.py` beside this file is one client, run by an interpreter of its own. Rule: it uses the
client as its documentation does, changes nothing but the base URL, the key and the model's name,
and reports what the client gave it as plain values. tests/test_clients.py knows what is right.
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

URL = os.environ["WORKER_URL"]
KEY = os.environ["WORKER_KEY"]
BUSY_KEY = os.environ["WORKER_BUSY_KEY"]
PLACES = int(os.environ["MAX_REQUESTS_PER_KEY"])
RETRY_AFTER = 1
"""What the server says at least, in seconds."""
MODEL = os.environ["WORKER_MODEL"]

HELLO = "Say hello."
COMPARE = "Which city is warmer?"
BOTH = "Ask for both at once."
DESCRIBE = "Describe Paris."
DESCRIBE_BY_CALL = "Describe Paris by a call."

DEGREES = {"Paris": 21, "Oslo": 9}
asked_for: list[str] = []
"""The cities that the tool was run for since the last report."""


def get_weather(city: str) -> str:
    """The weather in a city."""
    asked_for.append(city)
    return f"{city}: {DEGREES[city]} degrees"


class Ask(NamedTuple):
    """A question: whom, as whom, and what."""

    url: str = URL
    key: str = KEY
    model: str = MODEL
    text: str = HELLO
    top_p: float = 1.0
    retries: int = 0


PLAIN = Ask()


def report(
    ask: Callable[[Ask], str], pieces: Callable[[Ask], list[str]], *scenarios: Callable[[], object]
) -> None:
    """Runs the scenarios and prints what each returned, by its name, as one line of JSON.

    `ask` gives an answer's text, `pieces` its texts as they are streamed: for the scenarios that
    need no more than these.
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

    every = (chat, stream, *scenarios, errors, retries)
    print(json.dumps({each.__name__: _outcome(each) for each in every}))


def _outcome(scenario: Callable[[], object]) -> object:
    asked_for.clear()
    try:
        return scenario()
    except Exception as error:  # noqa: BLE001 - the others are of interest all the same
        traceback.print_exc(file=sys.stderr)
        return f"{type(error).__name__}: {error}"


def _errors(ask: Callable[[Ask], object], pieces: Callable[[Ask], object]) -> dict[str, str]:
    """The class of what the client raises in each case, told to try once."""
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
    with all_places_taken():
        raised["too many"] = _raised(ask, Ask(key=BUSY_KEY))
    return raised


def _raised(ask: Callable[[Ask], object], case: Ask) -> str:
    try:
        return f"no error: {ask(case)!r}"
    except Exception as error:  # noqa: BLE001 - which one is the question
        return type(error).__name__


def _retries(ask: Callable[[Ask], str]) -> dict[str, object]:
    """What the client gets of a key whose places become free in a moment, told to try again."""
    started = time.monotonic()
    with all_places_taken(for_seconds=0.2):
        got = ask(Ask(key=BUSY_KEY, retries=3))
    return {"answer": got, "waited": time.monotonic() - started >= RETRY_AFTER}


@contextmanager
def all_places_taken(for_seconds: float | None = None) -> Generator[None]:
    """While requests whose bodies do not come hold all that the busy key may have."""
    held = [_held() for _ in range(PLACES)]
    release = threading.Timer(for_seconds or 60, lambda: [each.close() for each in held])
    release.start()
    try:
        yield
    finally:
        release.cancel()
        for each in held:
            each.close()


def _held() -> socket.socket:
    """A request that the server has begun to read: it asked for the body."""
    address = urlsplit(URL)
    connection = socket.create_connection((address.hostname, address.port), timeout=20)
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n"
        b"content-length: 9\r\nauthorization: Bearer " + BUSY_KEY.encode() + b"\r\n\r\n"
    )
    if not connection.recv(100).startswith(b"HTTP/1.1 100"):
        raise ConnectionError("the server does not wait for the body")
    return connection

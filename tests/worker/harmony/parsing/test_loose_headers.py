"""Badly malformed headers that gpt-oss might write: loose_headers.json has the outputs by kind,
each with its correct reading, written down before it was tried."""

import json
from pathlib import Path
from typing import Any

import pytest

from worker.api.chat.answer import MessageFold, delta_of
from worker.harmony import Parser
from worker.harmony.conversation import Tool
from worker.harmony.vocabulary import encoding

CASES: dict[str, list[dict[str, Any]]] = json.loads(
    Path(__file__).with_name("loose_headers.json").read_text()
)


def read(case: dict[str, Any], size: int) -> dict[str, Any]:
    """What the client gets of a case's output, fed in pieces of `size` tokens."""
    ids = encoding().encode(case["output"], allowed_special="all")
    parser = Parser([Tool(name) for name in case.get("tools", ("get_weather", "get_time"))])
    fold = MessageFold()
    for at in range(0, len(ids), size):
        fold.add(delta_of(parser.feed(ids[at : at + size])))
    fold.add(delta_of(parser.finish()))
    message = fold.message()
    calls = [call["function"] for call in message["tool_calls"] or ()]
    return {
        "content": message["content"],
        "reasoning": message["reasoning"],
        "calls": [[call["name"], call["arguments"]] for call in calls],
    }


@pytest.mark.parametrize("kind", CASES)
def test_loose_headers_are_read_as_intended(kind: str) -> None:
    """No call is lost, nothing is corrupted, no reasoning is shown; whole and token by token."""
    for case in CASES[kind]:
        right = {"content": None, "reasoning": None, "calls": []}
        right |= {key: case[key] for key in right if key in case}
        assert read(case, 10**6) == right, case["output"]
        assert read(case, 1) == right, case["output"]

"""Headers as gpt-oss may write them and no one would: loose_headers.json has the outputs by kind,
each with what is right, written down before it was tried."""

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
    """What is told of a case's output, fed so many tokens at once."""
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
def test_what_was_meant_is_told(kind: str) -> None:
    """No call is lost, nothing spoiled, no reasoning told; whole and token by token."""
    for case in CASES[kind]:
        right = {"content": None, "reasoning": None, "calls": []}
        right |= {key: case[key] for key in right if key in case}
        assert read(case, 10**6) == right, case["output"]
        assert read(case, 1) == right, case["output"]

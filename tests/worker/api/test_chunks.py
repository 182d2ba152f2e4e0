"""Chunks that are too large for one delivery, halved until they fit; they add up to the same."""

import json
from typing import Any

from openai.types.chat import ChatCompletionChunk

from worker.api import chat
from worker.api.chat.answer import ChatFold
from worker.api.chunks import split
from worker.entrypoints.job import Part


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "demo",
        "choices": [{**choice, **more}],
    }


def split_to_size(item: Any, size: int) -> list[Any]:
    """The item in pieces of at most so many characters, or that cannot be halved."""
    if len(json.dumps(item)) <= size or (both := split(item)) is None:
        return [item]
    return [piece for half in both for piece in split_to_size(half, size)]


def folded(chunks: list[Any]) -> dict[str, Any]:
    fold = ChatFold()
    for each in chunks:
        ChatCompletionChunk.model_validate(each)
        fold.add(each)
    return fold.whole()


CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f"}}
LARGE = chunk(
    {
        "role": "assistant",
        "content": "Grüße, 日本語! " * 200,
        "reasoning": "thought " * 100,
        "reasoning_content": "thought " * 100,
        "tool_calls": [
            {**CALL, "function": {"name": "f", "arguments": '{"x": "' + "y" * 900 + '"}'}},
            {**CALL, "index": 1, "id": "call_2", "function": {"name": "g", "arguments": "{}"}},
        ],
    },
    "tool_calls",
    logprobs={
        "content": [
            {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []} for _ in range(64)
        ],
        "refusal": None,
    },
)


def test_the_halves_of_a_chunk_add_up_to_the_same_answer() -> None:
    """Every field, every call, every log probability; the end comes last."""
    made = split_to_size(LARGE, 900)
    assert len(made) > 10
    assert all(len(json.dumps(each)) <= 900 for each in made)
    assert folded(made) == folded([LARGE])
    assert [each["choices"][0]["finish_reason"] for each in made[:-1]] == [None] * (len(made) - 1)


def parts(part: Part, size: int) -> list[str]:
    """The part's events in texts of at most so many characters."""
    encoded = part.encoded()
    assert isinstance(encoded, str)
    if len(encoded) <= size or (both := part.smaller()) is None:
        return [encoded]
    return [text for half in both for text in parts(half, size)]


def test_events_are_split_between_them_and_then_within() -> None:
    """Every piece is whole events, and the stream ends once."""
    whole = Part(chat.DIALECT, [chunk({"content": "a"}), LARGE], as_events=True, ends=True)
    made = parts(whole, 1500)
    assert "".join(made).endswith("data: [DONE]\n\n")
    events = [line.removeprefix("data: ") for piece in made for line in piece.split("\n\n")[:-1]]
    assert (
        folded([json.loads(event) for event in events[:-1]])["choices"][0]["message"]["content"]
        == "a" + "Grüße, 日本語! " * 200
    )


def test_choices_are_split_between_them() -> None:
    """Each half has its own."""
    two = chunk({"content": "a"})
    two["choices"].append({**two["choices"][0], "index": 1})
    made: Any = split(two)
    assert [[c["index"] for c in half["choices"]] for half in made] == [[0], [1]]


def test_what_cannot_be_smaller_is_said_to_be_whole() -> None:
    """One letter, an error, a whole answer; the end of a stream."""
    whole = {"object": "chat.completion", "choices": []}
    for item in (chunk({"content": "a"}), {"error": {}}, whole):
        assert split(item) is None
    assert Part(chat.DIALECT, (), as_events=True, ends=True).smaller() is None

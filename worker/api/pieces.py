"""What is too large for one delivery, in two: the halves of SSE text or of a chunk.

Rule: the halves add up to the same answer, in the same order within each field, and each is whole:
whole events, whole characters, a chunk that a client reads as any other.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from worker.api import sse

Chunk = dict[str, Any]

_BEGIN = "data: "
_CHUNKS = ("chat.completion.chunk", "text_completion")


def halves(item: str | Chunk) -> tuple[str, str] | tuple[Chunk, Chunk] | None:
    """Two smaller items that mean the same, or None if there are none."""
    if isinstance(item, str):
        return _text_halves(item)
    return _chunk_halves(item) if item.get("object") in _CHUNKS else None


def _text_halves(text: str) -> tuple[str, str] | None:
    events = text.split("\n\n")[:-1]
    if len(events) > 1:
        middle = len(events) // 2
        return _joined(events[:middle]), _joined(events[middle:])
    if not events or not events[0].startswith(f"{_BEGIN}{{"):
        return None
    both = _chunk_halves(orjson.loads(events[0].removeprefix(_BEGIN)))
    return (sse.event(both[0]), sse.event(both[1])) if both else None


def _joined(events: list[str]) -> str:
    return "".join(f"{event}\n\n" for event in events)


def _chunk_halves(chunk: Chunk) -> tuple[Chunk, Chunk] | None:
    choices = chunk.get("choices") or []
    if len(choices) > 1:
        middle = len(choices) // 2
        return {**chunk, "choices": choices[:middle]}, {**chunk, "choices": choices[middle:]}
    both = _choice_halves(choices[0]) if choices else None
    if both is None:
        return None
    return {**chunk, "choices": [both[0]]}, {**chunk, "choices": [both[1]]}


def _choice_halves(choice: Chunk) -> tuple[Chunk, Chunk] | None:
    """Texts and lists of tokens, each in two; the end belongs to the second half."""
    first, second = {**choice, "finish_reason": None}, dict(choice)
    for key in ("delta", "logprobs"):
        if choice.get(key):
            first[key], second[key] = _fields_halves(choice[key])
    if "text" in choice:
        first["text"], second["text"] = _halves(choice["text"])
    smaller = all(len(orjson.dumps(half)) < len(orjson.dumps(choice)) for half in (first, second))
    return (first, second) if smaller else None


def _fields_halves(fields: Mapping[str, Any]) -> tuple[Chunk, Chunk]:
    first: Chunk = {}
    second: Chunk = {}
    for key, value in fields.items():
        if key == "tool_calls" and len(value) == 1:
            first[key], second[key] = _call_halves(value[0])
        elif isinstance(value, list) or (isinstance(value, str) and key != "role"):
            first[key], second[key] = _halves(value)
        else:
            first[key] = value
    return first, second


def _call_halves(call: Chunk) -> tuple[list[Chunk], list[Chunk]]:
    """The call's id and name are said once."""
    function = call["function"]
    begun, rest = _halves(function.get("arguments") or "")
    first = {**call, "function": {**function, "arguments": begun}}
    return [first], [{"index": call["index"], "function": {"arguments": rest}}]


def _halves(value: Sequence[Any]) -> tuple[Any, Any]:
    middle = len(value) // 2
    return value[:middle], value[middle:]

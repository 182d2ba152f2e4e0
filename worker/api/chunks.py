"""Merges and splits the chunks of OpenAI's chat and text completions.

Chunks that are ready at the same time can be combined into fewer, and a chunk that is too large for
one delivery can be split in two.

Rule: the resulting chunks have the same content, in the same order within each field, and each is
a valid chunk with complete characters.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from worker.api.dialect import Object

_BEGIN = {"role": "assistant", "content": None}
"""The first delta of a chat choice."""


def combine(chunks: Sequence[Object]) -> list[Object]:
    """Merges chunks of different choices, and merges a choice's first or last chunk with its
    neighbour."""
    if len(chunks) == 1:
        return list(chunks)
    merged: list[Object] = []
    for chunk in chunks:
        (choice,) = [dict(each) for each in chunk["choices"]] or (None,)
        last = {c["index"]: c for c in merged[-1]["choices"]} if merged else {}
        if choice is None or not last:
            merged.append({**chunk, "choices": [choice] if choice else []})
        elif choice["index"] not in last:
            merged[-1]["choices"].append(choice)
        elif both := _merged(last[choice["index"]], choice):
            last[choice["index"]].update(both)
        else:
            merged.append({**chunk, "choices": [choice]})
    return merged


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any] | None:
    """Merges two chunks of one choice if one of them has only a role or a finish reason.

    Two deltas with content stay separate, as do two texts of a text completion.
    """
    if second.get("delta") == {}:
        return {**first, "finish_reason": second["finish_reason"]}
    if first.get("delta") == _BEGIN:
        return {**second, "delta": {**_BEGIN, **second["delta"]}}
    return None


def split(chunk: Object) -> tuple[Object, Object] | None:
    """Splits a chunk into two smaller ones, or returns None if that is not possible."""
    if chunk.get("object") not in ("chat.completion.chunk", "text_completion"):
        return None
    choices = chunk["choices"]
    if len(choices) > 1:
        middle = len(choices) // 2
        return {**chunk, "choices": choices[:middle]}, {**chunk, "choices": choices[middle:]}
    both = _choice_halves(choices[0]) if choices else None
    if both is None:
        return None
    return {**chunk, "choices": [both[0]]}, {**chunk, "choices": [both[1]]}


def _choice_halves(choice: Object) -> tuple[Object, Object] | None:
    """Halves texts and token lists; the finish reason goes to the second half."""
    first, second = {**choice, "finish_reason": None}, dict(choice)
    for key in ("delta", "logprobs"):
        if choice.get(key):
            first[key], second[key] = _fields_halves(choice[key])
    if "text" in choice:
        first["text"], second["text"] = _halves(choice["text"])
    smaller = all(len(orjson.dumps(half)) < len(orjson.dumps(choice)) for half in (first, second))
    return (first, second) if smaller else None


def _fields_halves(fields: Mapping[str, Any]) -> tuple[Object, Object]:
    first: Object = {}
    second: Object = {}
    for key, value in fields.items():
        if key == "tool_calls" and len(value) == 1:
            first[key], second[key] = _call_halves(value[0])
        elif isinstance(value, list) or (isinstance(value, str) and key != "role"):
            first[key], second[key] = _halves(value)
        else:
            first[key] = value
    return first, second


def _call_halves(call: Object) -> tuple[list[Object], list[Object]]:
    """Only the first half has the call's ID and name."""
    function = call["function"]
    begun, rest = _halves(function.get("arguments") or "")
    first = {**call, "function": {**function, "arguments": begun}}
    return [first], [{"index": call["index"], "function": {"arguments": rest}}]


def _halves(value: Sequence[Any]) -> tuple[Any, Any]:
    middle = len(value) // 2
    return value[:middle], value[middle:]

"""Events as chat's assistant message: deltas of a stream, and the message that they add up to.

Rule: a whole message is the fold of its deltas; there is no other way to make one.
Reasoning is given under both names that clients read: `reasoning` (OpenAI's compatibility test)
and `reasoning_content` (SGLang's and others' clients).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from worker.harmony.events import Event, Reasoning, Text, ToolCallArguments, ToolCallBegun

Delta = dict[str, Any]
"""A `choices[].delta` of a chat completion chunk."""


def delta_of(events: Iterable[Event]) -> Delta:
    """One delta that says what `events` say; empty if they say nothing."""
    delta: Delta = {}
    calls: dict[int, dict[str, Any]] = {}
    for event in events:
        if isinstance(event, Text):
            if not event.text:
                continue
            delta["content"] = delta.get("content", "") + event.text
        elif isinstance(event, Reasoning):
            delta["reasoning"] = delta.get("reasoning", "") + event.text
            delta["reasoning_content"] = delta["reasoning"]
        elif isinstance(event, ToolCallBegun):
            function = {"name": event.name, "arguments": ""}
            calls[event.index] = {
                "index": event.index,
                "id": event.id,
                "type": "function",
                "function": function,
            }
        elif isinstance(event, ToolCallArguments):
            call = calls.setdefault(
                event.index, {"index": event.index, "function": {"arguments": ""}}
            )
            call["function"]["arguments"] += event.text
    if calls:
        delta["tool_calls"] = list(calls.values())
    return delta


class MessageFold:
    """Adds up the deltas of one choice."""

    def __init__(self) -> None:
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._arguments: dict[int, list[str]] = {}

    def add(self, delta: Mapping[str, Any]) -> None:
        self._content.append(delta.get("content") or "")
        self._reasoning.append(delta.get("reasoning") or "")
        for part in delta.get("tool_calls") or ():
            index = part["index"]
            if "id" in part:
                self._calls[index] = {"id": part["id"], "type": "function"}
                self._calls[index]["function"] = {"name": part["function"]["name"]}
            self._arguments.setdefault(index, []).append(part["function"]["arguments"])

    def message(self) -> dict[str, Any]:
        """The assistant message; `content` is null where there is none but calls or reasoning."""
        for index, call in self._calls.items():
            call["function"]["arguments"] = "".join(self._arguments.get(index, ()))
        calls = [self._calls[index] for index in sorted(self._calls)]
        reasoning = "".join(self._reasoning) or None
        return {
            "role": "assistant",
            "content": "".join(self._content) or None,
            "reasoning": reasoning,
            "reasoning_content": reasoning,
            "refusal": None,
            "tool_calls": calls or None,
        }

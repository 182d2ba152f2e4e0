"""The response to a chat completion request: its chunks, and the object that they fold into.

Rule: a non-streamed answer is always the fold of its chunks. A chunk is sent as soon as it has
content. Reasoning is returned under both names that clients read: `reasoning` (OpenAI's
compatibility test) and `reasoning_content` (SGLang's and others' clients).
Source: https://platform.openai.com/docs/api-reference/chat/streaming.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from worker.api import openai
from worker.api.dialect import Head, Object
from worker.errors import WorkerError
from worker.harmony.events import Event, Reasoning, Text, ToolCallArguments, ToolCallBegun
from worker.turn import TextLogprob, TurnOutput, Usage

Delta = dict[str, Any]
"""A `choices[].delta` of a chat completion chunk."""
_BEGIN: Delta = {"role": "assistant", "content": None}
"""A choice's first delta, without text, as OpenAI sends it; some clients read only the role from
it."""
_FINISH_REASONS = {"stop": "stop", "length": "length", "calls": "tool_calls"}


class ChatAnswer:
    """Builds the chunks of one answer.

    `usage`: end with a usage chunk. `null_usage`: all other chunks have `"usage": null`, as in
    OpenAI's streams that end with usage.
    """

    def __init__(self, head: Head, *, usage: bool, null_usage: bool) -> None:
        self._head = {
            "id": f"chatcmpl-{head.id}",
            "object": "chat.completion.chunk",
            "created": head.created,
            "model": head.model,
        }
        self._usage = usage
        self._null_usage = null_usage
        self._begun: set[int] = set()

    def take(self, turn: int, output: TurnOutput) -> list[Object]:
        """The chunks for a step of choice `turn`: the role chunk (once), content (if any) and the
        finish reason (at the end)."""
        delta, ending = delta_of(output.events), output.ending
        chunks: list[Object] = []
        if turn not in self._begun and (delta or ending is not None):
            self._begun.add(turn)
            chunks.append(self._chunk(turn, _BEGIN))
        if delta:
            chunks.append(self._chunk(turn, delta, output.logprobs))
        if ending is not None:
            chunks.append(self._chunk(turn, {}, reason=_FINISH_REASONS[ending.reason]))
        return chunks

    async def close(self, usage: Usage) -> list[Object]:
        """The usage chunk, if the request asks for it or is not streamed."""
        return [{**self._head, "choices": [], "usage": openai.usage(usage)}] if self._usage else []

    def keep_alive(self) -> list[Object]:
        """OpenAI defines no keep-alive chunk."""
        return []

    def failed(self, error: WorkerError) -> list[Object]:
        """The error's body."""
        return [openai.error(error)]

    def _chunk(
        self,
        turn: int,
        delta: Delta,
        logprobs: Sequence[TextLogprob] = (),
        reason: str | None = None,
    ) -> Object:
        choice = {
            "index": turn,
            "delta": delta,
            "logprobs": _logprobs(logprobs) if logprobs else None,
            "finish_reason": reason,
        }
        chunk: Object = {**self._head, "choices": [choice]}
        if self._null_usage:
            chunk["usage"] = None
        return chunk


def _logprobs(entries: Sequence[TextLogprob]) -> Mapping[str, Any]:
    return {"content": [openai.logprob(token) for _, token in entries], "refusal": None}


def delta_of(events: Iterable[Event]) -> Delta:
    """Converts `events` to one delta, which is empty if they have no content."""
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
    """Folds the deltas of one choice into a message."""

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
        """The assistant message. `content` is null if there are only tool calls or reasoning."""
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


class ChatFold:
    """Folds the chunks of an answer into its `chat.completion`."""

    def __init__(self) -> None:
        self._head: Mapping[str, Any] = {}
        self._usage: Mapping[str, Any] | None = None
        self._messages: dict[int, MessageFold] = {}
        self._logprobs: dict[int, list[Any]] = {}
        self._finish_reasons: dict[int, str] = {}

    def add(self, item: Object) -> None:
        self._head = {key: item[key] for key in ("id", "created", "model")}
        self._usage = item.get("usage") or self._usage
        for choice in item["choices"]:
            index = choice["index"]
            self._messages.setdefault(index, MessageFold()).add(choice["delta"])
            if choice["logprobs"]:
                self._logprobs.setdefault(index, []).extend(choice["logprobs"]["content"])
            if choice["finish_reason"]:
                self._finish_reasons[index] = choice["finish_reason"]

    def whole(self) -> Object:
        choices = [self._choice(index) for index in sorted(self._messages)]
        return {
            **self._head,
            "object": "chat.completion",
            "choices": choices,
            "usage": self._usage,
        }

    def _choice(self, index: int) -> Object:
        logprobs = self._logprobs.get(index)
        return {
            "index": index,
            "message": self._messages[index].message(),
            "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
            "finish_reason": self._finish_reasons[index],
        }

"""The answer to a chat completion request: its chunks, and the object that they add up to.

Rule: a whole answer is the fold of its chunks. A chunk comes as soon as there is something to say.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from worker.api.chat import ChatRequest
from worker.api.choice import Choice, Part
from worker.api.usage import usage_of
from worker.generation import Step
from worker.harmony import MessageFold

Chunk = dict[str, Any]
"""A `chat.completion.chunk`."""

_BEGIN = Part({"role": "assistant", "content": None}, [])
"""A choice's first chunk, without a text, as OpenAI sends it: some clients read its role alone."""


class ChatAnswer:
    """Makes the chunks of one answer out of its choices' steps.

    `id`, `model` and `created` (seconds since the epoch) stand in every chunk.
    """

    def __init__(self, request: ChatRequest, *, id: str, model: str, created: int) -> None:
        self._request = request
        self._head = {
            "id": id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._null_usage = request.include_usage
        self._choices = [Choice(request) for _ in range(request.choices)]
        self._begun: set[int] = set()

    def finished(self, index: int) -> bool:
        return self._choices[index].finish_reason is not None

    @property
    def done(self) -> bool:
        return all(choice.finish_reason is not None for choice in self._choices)

    def take(self, index: int, step: Step) -> list[Chunk]:
        """The chunks that a step of choice `index` makes: at most its text, and its end."""
        choice = self._choices[index]
        if choice.finish_reason is not None:
            return []
        part = choice.take(step)
        chunks: list[Chunk] = []
        if index not in self._begun and (part.delta or choice.finish_reason is not None):
            self._begun.add(index)
            chunks.append(self._chunk(index, _BEGIN, None))
        if part.delta:
            chunks.append(self._chunk(index, part, None))
        if choice.finish_reason is not None:
            chunks.append(self._chunk(index, Part({}, []), choice.finish_reason))
        return chunks

    def close(self) -> Iterator[Chunk]:
        """The chunk of the usage, if the request asks for it (or is answered whole)."""
        if self._request.include_usage or not self._request.stream:
            yield {**self._head, "choices": [], "usage": self.usage()}

    def turn_with_calls(self, index: int) -> tuple[Mapping[str, Any], Sequence[int]] | None:
        """Of a choice that ended in calls: the message that was told, and the completion's ids."""
        choice = self._choices[index]
        return (choice.message(), choice.ids) if choice.finish_reason == "tool_calls" else None

    def recoveries(self) -> Counter[str]:
        """What had to be mended in the output, over all choices, by kind."""
        return sum((choice.recoveries for choice in self._choices), Counter[str]())

    def usage(self) -> dict[str, Any]:
        return usage_of(choice.usage for choice in self._choices)

    def _chunk(self, index: int, part: Part, finish_reason: str | None) -> Chunk:
        choice = {
            "index": index,
            "delta": part.delta,
            "logprobs": {"content": part.logprobs, "refusal": None} if part.logprobs else None,
            "finish_reason": finish_reason,
        }
        chunk: Chunk = {**self._head, "choices": [choice]}
        if self._null_usage:
            chunk["usage"] = None
        return chunk


def together(chunks: Sequence[Chunk]) -> list[Chunk]:
    """The same in fewer chunks: choices side by side, a role and an end with the text beside it."""
    if len(chunks) == 1:
        return list(chunks)
    merged: list[Chunk] = []
    for chunk in chunks:
        (choice,) = [dict(each) for each in chunk["choices"]] or (None,)
        last = {c["index"]: c for c in merged[-1]["choices"]} if merged else {}
        if choice is None or not last:
            merged.append({**chunk, "choices": [choice] if choice else []})
        elif choice["index"] not in last:
            merged[-1]["choices"].append(choice)
        elif both := _joined(last[choice["index"]], choice):
            last[choice["index"]].update(both)
        else:
            merged.append({**chunk, "choices": [choice]})
    return merged


def _joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any] | None:
    """What two chunks say of one choice, if one can: a role or an end beside a delta of the other.

    Two deltas that say something stay apart, and so do two texts of a text completion.
    """
    if second.get("delta") == {}:
        return {**first, "finish_reason": second["finish_reason"]}
    if first.get("delta") == _BEGIN.delta:
        return {**second, "delta": {**_BEGIN.delta, **second["delta"]}}
    return None


class ChatFold:
    """Adds up the chunks of an answer to its `chat.completion`."""

    def __init__(self) -> None:
        self._head: Mapping[str, Any] = {}
        self._usage: Mapping[str, Any] | None = None
        self._messages: dict[int, MessageFold] = {}
        self._logprobs: dict[int, list[Any]] = {}
        self._finish_reasons: dict[int, str] = {}

    def add(self, chunk: Chunk) -> None:
        self._head = {key: chunk[key] for key in ("id", "created", "model")}
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk["choices"]:
            index = choice["index"]
            self._messages.setdefault(index, MessageFold()).add(choice["delta"])
            if choice["logprobs"]:
                self._logprobs.setdefault(index, []).extend(choice["logprobs"]["content"])
            if choice["finish_reason"]:
                self._finish_reasons[index] = choice["finish_reason"]

    def completion(self) -> dict[str, Any]:
        choices = [self._choice(index) for index in sorted(self._messages)]
        return {
            **self._head,
            "object": "chat.completion",
            "choices": choices,
            "usage": self._usage,
        }

    def _choice(self, index: int) -> dict[str, Any]:
        logprobs = self._logprobs.get(index)
        return {
            "index": index,
            "message": self._messages[index].message(),
            "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
            "finish_reason": self._finish_reasons[index],
        }

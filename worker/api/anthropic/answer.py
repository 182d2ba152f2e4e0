"""The events of a message, and the message that they add up to.

    message_start  (content_block_start  content_block_delta*  content_block_stop)*
    message_delta  message_stop

A block is one Harmony message: thinking, text or a call. Empty messages have no block. A block is
closed as soon as its message ends, so that a client can start the tool. A thinking block ends with
its signature, a capsule of its exact token IDs; with `display: "omitted"` it has nothing else.

Rule: a whole message is always the fold of its events.
Source: https://docs.anthropic.com/en/docs/build-with-claude/streaming.
"""

from collections.abc import Iterator
from typing import Any, Literal

import orjson

from worker import json_depth
from worker.api.anthropic import wire
from worker.api.dialect import Head, Object
from worker.errors import BadRequest, WorkerError
from worker.harmony.capsule import Capsules
from worker.harmony.events import (
    Event,
    MessageBegun,
    MessageEnded,
    Reasoning,
    Text,
    ToolCallArguments,
    ToolCallBegun,
)
from worker.turn import Ending, TurnOutput, Usage

Shown = Literal["text", "signature"]
"""How thinking is shown: with its text, or only its signature."""
BlockType = Literal["thinking", "text", "tool_use"]


class MessagesAnswer:
    """Converts the output of a turn to the events of a message."""

    def __init__(self, head: Head, capsules: Capsules, shown: Shown) -> None:
        self._head = head
        self._capsules = capsules
        self._shows_thinking = shown == "text"
        self._begun = False
        self._ending: Ending | None = None
        self._blocks = 0
        self._open: BlockType | None = None

    def take(self, turn: int, output: TurnOutput) -> list[Object]:  # noqa: ARG002 - there is one turn
        """The events for the output of a step."""
        items: list[Object] = []
        if not self._begun:
            self._begun = True
            items.append({"type": "message_start", "message": self._message(output.usage)})
        for event in output.events:
            items += self._events(event, output)
        if output.ending is not None:
            self._ending = output.ending
            items += self._close()
        return items

    async def close(self, usage: Usage) -> list[Object]:
        """The stop reason, the usage, and the end of the message."""
        reason, sequence = _stop_reason(self._ending)
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        details = {"thinking_tokens": usage.reasoning}
        told = {**_usage(usage, usage.completion), "output_tokens_details": details}
        return [
            {"type": "message_delta", "delta": delta, "usage": told},
            {"type": "message_stop"},
        ]

    def keep_alive(self) -> list[Object]:
        """Needed because omitted thinking can take minutes without any other event."""
        return [{"type": "ping"}]

    def failed(self, error: WorkerError) -> list[Object]:
        """The last event of a failed stream."""
        return [wire.error(error)]

    def _message(self, usage: Usage) -> Object:
        """The message in `message_start`. The first step has the count of the prompt's tokens; one
        output token is counted, as Anthropic does."""
        return {
            "id": f"msg_{self._head.id}",
            "type": "message",
            "role": "assistant",
            "model": self._head.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(usage, 1),
        }

    def _events(self, event: Event, output: TurnOutput) -> Iterator[Object]:
        match event:
            case MessageBegun():
                yield from self._close()
            case Reasoning(text=text) if text:
                yield from self._begin("thinking", {"thinking": "", "signature": ""})
                if self._shows_thinking:
                    yield self._delta({"type": "thinking_delta", "thinking": text})
            case Text(text=text) if text:
                yield from self._begin("text", {"text": ""})
                yield self._delta({"type": "text_delta", "text": text})
            case ToolCallBegun(id=call_id, name=name):
                yield from self._close()
                yield from self._begin("tool_use", {"id": call_id, "name": name, "input": {}})
            case ToolCallArguments(text=text) if text:
                yield self._delta({"type": "input_json_delta", "partial_json": text})
            case MessageEnded(span=span):
                if self._open == "thinking":
                    signature = self._capsules.seal(output.ids.slice(span.start, span.stop))
                    yield self._delta({"type": "signature_delta", "signature": signature})
                yield from self._close()
            case _:
                pass

    def _begin(self, kind: BlockType, fields: Object) -> Iterator[Object]:
        """Opens a block, unless one of the same type is open, which the text then continues."""
        if self._open == kind:
            return
        yield from self._close()
        self._open = kind
        block = {"type": kind, **fields}
        yield {"type": "content_block_start", "index": self._blocks, "content_block": block}

    def _delta(self, delta: Object) -> Object:
        return {"type": "content_block_delta", "index": self._blocks, "delta": delta}

    def _close(self) -> Iterator[Object]:
        """Closes the open block, if any."""
        if self._open is not None:
            yield {"type": "content_block_stop", "index": self._blocks}
            self._open = None
            self._blocks += 1


def _usage(usage: Usage, output: int) -> Object:
    """`input_tokens` excludes cached tokens: the prompt is the sum of the first two fields."""
    return {
        "input_tokens": usage.prompt - usage.cached,
        "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": output,
    }


def _stop_reason(ending: Ending | None) -> tuple[str, str | None]:
    """The stop reason, and the stop sequence that was found."""
    match ending:
        case Ending(stop_string=str(found)):
            return "stop_sequence", found
        case Ending("calls"):
            return "tool_use", None
        case Ending("length", context_full=True):
            return "model_context_window_exceeded", None
        case Ending("length"):
            return "max_tokens", None
        case _:
            return "end_turn", None


_GROWING = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}
"""The field that each type of delta appends to."""


class MessagesFold:
    """Adds up the events of an answer to its message."""

    def __init__(self) -> None:
        self._message: Object = {}
        self._blocks: list[Object] = []
        self._pieces: list[dict[str, list[str]]] = []

    def add(self, item: Object) -> None:
        match item:
            case {"type": "message_start", "message": message}:
                self._message = message
            case {"type": "content_block_start", "content_block": block}:
                self._blocks.append(block)
                self._pieces.append({})
            case {"type": "content_block_delta", "index": index, "delta": delta}:
                field = _GROWING[delta["type"]]
                self._pieces[index].setdefault(field, []).append(delta[field])
            case {"type": "message_delta", "delta": delta, "usage": usage}:
                self._message = {**self._message, **delta, "usage": usage}
            case _:
                pass

    def whole(self) -> Object:
        """The complete message."""
        content = [
            _block(block, {name: "".join(texts) for name, texts in pieces.items()})
            for block, pieces in zip(self._blocks, self._pieces, strict=True)
        ]
        return {**self._message, "content": content}


def _block(begun: Object, texts: dict[str, str]) -> Object:
    """A complete block."""
    if begun["type"] == "tool_use":
        return {**begun, "input": _input(texts.get("partial_json", ""))}
    return {**begun, **texts}


def _input(arguments: str) -> dict[str, Any]:
    """A call's arguments as an object, as clients expect them: `{"a": 1}`.

    Arguments that are not a JSON object are kept as text: `{"raw": "get_weather Paris"}`.
    """
    if not arguments.strip():
        return {}
    try:
        value = orjson.loads(arguments)
        json_depth.check(value, "input")
    except (orjson.JSONDecodeError, BadRequest):
        value = None
    return value if isinstance(value, dict) else {"raw": arguments}

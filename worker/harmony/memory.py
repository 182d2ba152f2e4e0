"""The turns that made tool calls, remembered as the exact token ids that were generated.

Chat clients rarely send a turn's reasoning back, and gpt-oss is much worse without it inside a
tool loop. Rule: what the client sends wins; a turn is recalled only where it says the same in
other words (arguments written anew, reasoning left out), so the history is token-exact and the
prefix cache matches past the call. Turns that are not well-formed Harmony are not remembered.
"""

import json
from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openai_harmony import HarmonyError, Role

from worker.harmony.message import message_from_tokens
from worker.harmony.vocabulary import CALL, encoding

Json = Any  # A JSON value from outside.

_OVERHEAD = 500
"""Bytes that a turn takes beside its ids and its texts, about."""


@dataclass(frozen=True, slots=True)
class _Turn:
    ids: Sequence[int]
    call_ids: tuple[str, ...]
    calls: tuple[tuple[str, Json], ...]  # name and parsed arguments
    content: str
    reasoning: str

    @property
    def size(self) -> int:
        return 4 * len(self.ids) + len(self.content) + len(self.reasoning) + _OVERHEAD


class TurnMemory:
    """The latest turns with calls, up to `max_bytes` in all; the least recently used go first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._turns: OrderedDict[str, _Turn] = OrderedDict()  # by the first call's id

    def __len__(self) -> int:
        return len(self._turns)

    def remember(self, call_ids: Sequence[str], ids: Sequence[int]) -> None:
        """A turn that ended in calls: their ids, and the completion's ids with its stop token."""
        if not call_ids or 4 * len(ids) > self._max_bytes or not _well_formed(ids):
            return
        message = message_from_tokens(ids)
        calls = tuple(_content_of_call(call) for call in message["tool_calls"] or ())
        turn = _Turn(
            ids=array("i", [*ids[:-1], CALL]),
            call_ids=tuple(call_ids),
            calls=calls,
            content=message["content"] or "",
            reasoning=message["reasoning"] or "",
        )
        self._turns[call_ids[0]] = turn
        self._bytes += turn.size
        while self._bytes > self._max_bytes:
            _, forgotten = self._turns.popitem(last=False)
            self._bytes -= forgotten.size

    def recall(
        self, calls: Sequence[Mapping[str, Json]], content: str, reasoning: str | None
    ) -> Sequence[int] | None:
        """The ids of the turn that a client's assistant message stands for, if it is that turn."""
        turn = self._turns.get(calls[0].get("id") or "") if calls else None
        if turn is None or turn.call_ids != tuple(call.get("id") for call in calls):
            return None
        same = (
            turn.calls == tuple(_content_of_call(call) for call in calls)
            and content.strip() in ("", turn.content.strip())
            and (not reasoning or reasoning.strip() == turn.reasoning.strip())
        )
        if not same:
            return None
        self._turns.move_to_end(calls[0]["id"])
        return turn.ids


def _content_of_call(call: Mapping[str, Json]) -> tuple[str, Json]:
    """A call's name and its arguments as a value, since clients write their JSON anew."""
    function = call["function"]
    arguments = function.get("arguments")
    try:
        return function["name"], json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        return function["name"], arguments


def _well_formed(ids: Sequence[int]) -> bool:
    """Whether OpenAI's strict parser reads the turn as the assistant's messages alone."""
    try:
        messages = encoding().parse_messages_from_completion_tokens(ids, Role.ASSISTANT)
    except (HarmonyError, ValueError):
        return False
    return all(message.author.role is Role.ASSISTANT for message in messages)

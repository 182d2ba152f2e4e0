"""The turns that made tool calls, remembered as the exact token ids that were generated.

Chat clients rarely send a turn's reasoning back, and gpt-oss is much worse without it inside a
tool loop. Rule: what the client sends wins; a turn is recalled only where it says the same in
other words (arguments written anew, reasoning left out), so the history is token-exact and the
prefix cache matches past the call.

A turn is remembered as it was generated, or not at all: only where every header is one that
gpt-oss was trained on and names the very tools that the client was told, since the model would copy
its own mistake. That is read off the ids again (`_recipients`); what the turn says is not, the
caller has it folded already.
"""

import json
import re
from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.harmony.tool_names import is_builtin
from worker.harmony.vocabulary import (
    CALL,
    CHANNEL,
    CONSTRAIN,
    END,
    FIRST_SPECIAL,
    MESSAGE,
    RETURN,
    START,
    token_bytes,
)

Json = Any  # A JSON value from outside.

_MARK = {START: "\ud800", CHANNEL: "\ud801", CONSTRAIN: "\ud802"}
_OTHER_MARK = "\ud803"
_HEADER = re.compile(
    rf"(?:{_MARK[START]}assistant)?(?: to=(?P<role>[\w.\-]+))?"
    rf"{_MARK[CHANNEL]}(?:analysis|commentary|final)(?: to=(?P<channel>[\w.\-]+))?"
    rf"(?: ?{_MARK[CONSTRAIN]}?(?:json|code))? ?"
)
_ENDS = (CALL, RETURN, END)

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

    def remember(self, message: Mapping[str, Json], ids: Sequence[int]) -> None:
        """A turn that ended in calls: the assistant message that the client was given, and the ids
        of the completion that said it, with its stop token."""
        calls = message["tool_calls"] or ()
        recipients = [recipient for recipient in _recipients(ids) or () if recipient]
        names = [call["function"]["name"] for call in calls]
        if not calls or list(map(_name_of, recipients)) != names:
            return
        turn = _Turn(
            ids=array("i", [*ids[:-1], CALL]),
            call_ids=tuple(call["id"] for call in calls),
            calls=tuple(_content_of_call(call) for call in calls),
            content=message["content"] or "",
            reasoning=message["reasoning"] or "",
        )
        self._turns[turn.call_ids[0]] = turn
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


def _recipients(ids: Sequence[int]) -> list[str] | None:
    """The recipient of each message of a turn ("" for none), or None if a header is not as trained.

    The messages of a turn are divided by `<|end|><|start|>`, and its last ends with the turn:
    `<|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>commentary to=functions.f
    <|constrain|>json<|message|>…<|call|>` has "" and `functions.f`.
    """
    recipients: list[str] = []
    markers = [at for at, token in enumerate(ids) if token >= FIRST_SPECIAL]
    begin = 0
    for at, following in zip(markers, [*markers[1:], None], strict=True):
        if ids[at] != MESSAGE:
            continue
        header = _HEADER.fullmatch(_written(ids[begin:at]))
        if header is None or following is None:
            return None
        recipients.append(header["role"] or header["channel"] or "")
        if following == len(ids) - 1:
            return recipients if ids[following] in _ENDS else None
        if ids[following] != END or ids[following + 1] != START:
            return None
        begin = following + 1
    return None


def _name_of(recipient: str) -> str | None:
    """The tool that a recipient names as gpt-oss was trained to, or None."""
    name = recipient.removeprefix("functions.")
    return name if name != recipient or is_builtin(name) else None


def _written(header: Sequence[int]) -> str:
    """A header's text, with a surrogate, which no text has, for each marker."""
    return "".join(
        token_bytes()[token].decode("utf-8", "replace")
        if token < FIRST_SPECIAL
        else _MARK.get(token, _OTHER_MARK)
        for token in header
    )

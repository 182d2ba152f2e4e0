"""Remembers turns that made tool calls, as the exact token IDs that were generated.

Chat clients rarely send reasoning back, and gpt-oss performs much worse in a tool loop without it.
Rule: the client's messages take precedence; a turn is recalled only if they are equivalent to it
(arguments may be re-serialized, reasoning left out). The history is then token-exact, and the
prefix cache matches beyond the call.

A turn is remembered only if every header has a form that gpt-oss was trained on and names exactly
the tools that were reported to the client; otherwise the model would imitate its own mistake.
Headers are checked in the token IDs (`_recipients`); the caller passes the parsed messages.
"""

import json
import re
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from worker.harmony.conversation import Called, Message, Said, Thought
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
from worker.json_depth import Json

_MARK = {START: "\ud800", CHANNEL: "\ud801", CONSTRAIN: "\ud802"}
_OTHER_MARK = "\ud803"
_HEADER = re.compile(
    rf"(?:{_MARK[START]}assistant)?(?: to=(?P<role>[\w.\-]+))?"
    rf"{_MARK[CHANNEL]}(?:analysis|commentary|final)(?: to=(?P<channel>[\w.\-]+))?"
    rf"(?: ?{_MARK[CONSTRAIN]}?(?:json|code))? ?"
)
_ENDS = (CALL, RETURN, END)

_OVERHEAD = 500
"""Approximate bytes per turn in addition to its IDs and texts."""


@dataclass(frozen=True, slots=True)
class _Turn:
    ids: Sequence[int]
    call_ids: tuple[str, ...]
    calls: tuple[tuple[str, Json], ...]  # name and parsed arguments
    content: str
    reasoning: str

    @classmethod
    def of(cls, messages: Sequence[Message], ids: Sequence[int] = ()) -> "_Turn":
        calls = [message for message in messages if isinstance(message, Called)]
        return cls(
            ids,
            tuple(call.id for call in calls),
            tuple((call.name, _value(call.arguments)) for call in calls),
            "".join(message.text for message in messages if isinstance(message, Said)),
            "".join(message.text for message in messages if isinstance(message, Thought)),
        )

    @property
    def size(self) -> int:
        texts = (self.content, self.reasoning, *self.call_ids)
        return 4 * len(self.ids) + sum(map(len, texts)) + _OVERHEAD

    def is_meant_by(self, sent: "_Turn") -> bool:
        """Whether `sent`, from a client, matches this turn. A client may leave out its texts."""
        return (
            sent.call_ids == self.call_ids
            and sent.calls == self.calls
            and sent.content.strip() in ("", self.content.strip())
            and sent.reasoning.strip() in ("", self.reasoning.strip())
        )


class Recalled(NamedTuple):
    """`message_count`: how many leading messages of the turn were recognized; `ids`: the completion
    that they came from."""

    message_count: int
    ids: Sequence[int]


class TurnMemory:
    """The latest turns with calls, up to `max_bytes` in all; the least recently used go first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._turns: OrderedDict[str, _Turn] = OrderedDict()  # by the first call's id

    def __len__(self) -> int:
        return len(self._turns)

    def remember(self, messages: Sequence[Message], ids: Sequence[int]) -> None:
        """Stores a turn that ended in calls, if its headers have trained forms. `messages`: the
        turn as sent to the client; `ids`: its completion, including the stop token."""
        turn = _Turn.of(messages, array("i", [*ids[:-1], CALL]))
        recipients = [recipient for recipient in _recipients(ids) or () if recipient]
        names = [name for name, _ in turn.calls]
        if not names or list(map(_name_of, recipients)) != names:
            return
        self._turns[turn.call_ids[0]] = turn
        self._bytes += turn.size
        while self._bytes > self._max_bytes:
            _, forgotten = self._turns.popitem(last=False)
            self._bytes -= forgotten.size

    def recall(self, messages: Sequence[Message]) -> Recalled | None:
        """The remembered completion that matches `messages`, or their beginning; None if there is
        none."""
        at = [number for number, m in enumerate(messages, start=1) if isinstance(m, Called)]
        first = messages[at[0] - 1] if at else None
        turn = self._turns.get(first.id) if isinstance(first, Called) else None
        if turn is None or len(at) < len(turn.calls):
            return None
        count = at[len(turn.calls) - 1]
        if not turn.is_meant_by(_Turn.of(messages[:count])):
            return None
        self._turns.move_to_end(turn.call_ids[0])
        return Recalled(count, turn.ids)


def _value(arguments: str) -> Json:
    """Parses arguments, to compare them although clients re-serialize the JSON."""
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _recipients(ids: Sequence[int]) -> list[str] | None:
    """The recipient of each message of a turn ("" for none), or None if a header does not have a
    trained form.

    The messages of a turn are separated by `<|end|><|start|>`; the last one ends with the turn's
    stop token: `<|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>commentary
    to=functions.f <|constrain|>json<|message|>…<|call|>` has "" and `functions.f`.
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
    """The tool named by a recipient, or None if the recipient does not have a trained form."""
    name = recipient.removeprefix("functions.")
    return name if name != recipient or is_builtin(name) else None


def _written(header: Sequence[int]) -> str:
    """A header's text, with each marker replaced by a surrogate, which no valid text contains."""
    return "".join(
        token_bytes()[token].decode("utf-8", "replace")
        if token < FIRST_SPECIAL
        else _MARK.get(token, _OTHER_MARK)
        for token in header
    )

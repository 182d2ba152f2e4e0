"""A parser of Harmony completions: token ids in, events out, at any split.

Rules:
- Special tokens are ids and never text: whatever the model emits, no marker reaches an event.
- Every id has its effect when it is fed; events of any two splits are equal once joined.
- Nothing raises. Well-formed text reads as `openai_harmony.StreamableParser` reads it; malformed
  text loses no call that was meant and nothing that was told to the user.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from worker.harmony.address import Address, Kind
from worker.harmony.body import Body
from worker.harmony.events import Event, Finished, ToolCallBegun
from worker.harmony.header import Header, Origin
from worker.harmony.recoveries import Recovery
from worker.harmony.tool_names import ToolNames, is_builtin
from worker.harmony.vocabulary import (
    CALL,
    CHANNEL,
    CONSTRAIN,
    END,
    ENDOFTEXT,
    FIRST_SPECIAL,
    MESSAGE,
    RETURN,
    START,
    token_bytes,
)
from worker.harmony.words import ASSISTANT

_ENDS = frozenset({END, RETURN, CALL, ENDOFTEXT})
_ROLE = ASSISTANT.encode()


def new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


class Parser:
    """One completion's parser. The prompt has ended in `<|start|>assistant`.

    `tools`: the request's tools (OpenAI's form), to read a mangled name by.
    `reasoning_tokens`: how many ids were bodies of analysis so far. `calls`: how many calls.
    `recoveries`: what had to be mended, by `Recovery`.
    """

    def __init__(
        self,
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        call_id: Callable[[], str] = new_call_id,
    ) -> None:
        self.reasoning_tokens = 0
        self.calls = 0
        self.recoveries: Counter[str] = Counter()
        self._tools = ToolNames(tools or ())
        self._call_id = call_id
        self._table = token_bytes()
        self._header: Header | None = Header(Origin.PROMPT, self._tools)
        self._body_header: Header | None = None  # that opened the body
        self._body: Body | None = None  # the open body, or the one that a broken header resumes
        self._closed = False  # the body has had its end; loose text may still reopen a call
        self._bytes: list[bytes] = []  # of the body, not told yet
        self._events: list[Event] = []

    @property
    def in_text(self) -> bool:
        """Whether the next ordinary token is one that the user reads."""
        return self._header is None and self._body is not None and self._body.kind is Kind.TEXT

    def feed(self, ids: Iterable[int]) -> list[Event]:
        """Takes the next token ids of the completion; returns what they say."""
        for token in ids:
            if 0 <= token < FIRST_SPECIAL:
                if self._header is None:
                    self._bytes.append(self._table[token])
                else:
                    self._header_text(self._header, self._table[token])
            elif self._header is None:
                self._marker_in_body(token)
            else:
                self._marker_in_header(self._header, token)
        if self._bytes:
            self._tell()
        events, self._events = self._events, []
        return events

    def finish(self) -> list[Event]:
        """The completion is over, by its own end or by a limit; returns what remains to say."""
        header, complete = self._header, self._closed
        if header is not None:
            complete = complete and header.blank
            self._end_header(header, natural=False)
        self._close(natural=self._closed)
        self._header, self._closed = None, True
        self._events.append(Finished(complete))
        events, self._events = self._events, []
        return events

    def _marker_in_body(self, token: int) -> None:
        if token in _ENDS:
            self._end(token)
        elif token == START:
            self._begin_header(Origin.START)
        elif token in (CHANNEL, CONSTRAIN):
            role = self._role_before_marker()
            self._flush()
            header = self._body_header
            if header and not header.full and self._body and self._body.empty:
                header.add_marker(token)  # its `<|message|>` came too early
                self._header = header
            elif token == CHANNEL:
                self._begin_header(Origin.BODY, *role).add_marker(CHANNEL)
            else:
                self._bytes += role

    def _marker_in_header(self, header: Header, token: int) -> None:
        if token in (MESSAGE, CONSTRAIN) and header.empty and self._ended_early():
            self.recoveries[Recovery.EARLY_END] += 1
            self._header, self._closed = None, False
            self._marker_in_body(token)
        elif token == MESSAGE:
            self._message(header)
        elif token in _ENDS:
            self._end_header(header, natural=True)
            self._end(token)
        elif token == START:
            self._end_header(header, natural=True)
            self._begin_header(Origin.START)
        elif token in (CHANNEL, CONSTRAIN):
            if header.full:
                self._end_header(header, natural=True)
                header = self._begin_header(Origin.LOOSE if self._closed else Origin.BODY)
            header.add_marker(token)

    def _begin_header(self, origin: Origin, *text: bytes) -> Header:
        self._flush()
        header = Header(origin, self._tools, after_call=self.calls > 0)
        for data in text:
            header.add_text(data)
        self._header = header
        return header

    def _header_text(self, header: Header, data: bytes) -> None:
        rest = header.add_text(data)
        if rest is None:
            return
        quoted = self._in_string() and header.address().kind is not Kind.CALL
        if quoted or not header.certain:
            self._resume(header.text + rest)
        else:
            self.recoveries[Recovery.MISSING_MESSAGE] += 1
            self._open(header, rest.lstrip())

    def _message(self, header: Header) -> None:
        """The header is over, as it should be; unless the channel's name is still to come."""
        quoted = self._in_string() and not header.names_channel_or_recipient
        if quoted or header.blank:
            self._resume(header.text)
        elif not header.lacks_channel:
            self._open(header)

    def _end_header(self, header: Header, *, natural: bool) -> None:
        """No body comes after this header: it was a call without arguments, text, or nothing."""
        rest = header.end(natural=natural)
        if not header.certain:
            if (text := header.text + rest).strip():
                self._resume(text)
            return
        ends_message = natural and not self._in_string()
        if rest.strip() or ends_message or header.address().kind is Kind.CALL:
            self.recoveries[Recovery.MISSING_MESSAGE] += natural
            self._open(header, rest.lstrip())

    def _end(self, token: int) -> None:
        if self._body is not None:
            self._body.sealed |= token == CALL
        self._closed = True
        self._begin_header(Origin.LOOSE)

    def _ended_early(self) -> bool:
        """Whether a call had its end before its arguments."""
        body = self._body
        return body is not None and body.empty and body.kind is Kind.CALL and not body.sealed

    def _in_string(self) -> bool:
        return self._body is not None and self._body.in_string and not self._closed

    def _resume(self, text: bytes) -> None:
        """Text where a header should be belongs to the open body; or to an answer of its own."""
        self._header = None
        body = self._body
        if body is None or (self._closed and body.kind in (Kind.REASONING, Kind.TEXT)):
            self.recoveries[Recovery.MISSING_HEADER] += 1
            self._open_body(Address(Kind.TEXT))
        elif self._closed and body.kind is Kind.CALL and not body.unfinished:
            self.recoveries[Recovery.MADE_UP_RESULT] += 1
            self._open_body(Address(Kind.FOREIGN))  # it pretends to be the call's result
        self._closed = False
        self._bytes.append(text)

    def _open(self, header: Header, text: bytes = b"") -> None:
        """A new message begins, unless this is the rest of the open one's header."""
        address, body = header.address(), self._body
        if body is None or self._closed or not body.empty or body.address != address:
            self._open_body(address)
            self._count_mended(header, address)
        self._header, self._body_header = None, header
        if text:
            self._bytes.append(text)

    def _count_mended(self, header: Header, address: Address) -> None:
        """Counts what is not as it should be in a header that was understood."""
        if header.origin not in (Origin.PROMPT, Origin.START):
            self.recoveries[Recovery.MISSING_START] += 1
        if address.kind is Kind.CALL and not is_builtin(address.name):
            if f"to=functions.{address.name}" not in header.text.decode("utf-8", "replace"):
                self.recoveries[Recovery.RECIPIENT] += 1
            if b"commentary" not in header.text:
                self.recoveries[Recovery.CHANNEL] += 1

    def _open_body(self, address: Address) -> None:
        self._close(natural=True)
        self._closed, self._body_header = False, None
        self._body = Body(address, self.calls, code=self._tools.takes_code(address.name))
        if address.kind is Kind.CALL:
            self._events.append(ToolCallBegun(self.calls, self._call_id(), address.name))
            self.calls += 1

    def _close(self, *, natural: bool) -> None:
        self._flush()
        if self._body is not None:
            self._events += self._body.close(natural=natural)
            if self._body.mended:
                self.recoveries[Recovery.ARGUMENTS] += 1
            self._body = None

    def _role_before_marker(self) -> list[bytes]:
        """Takes a last `assistant` off the body: the role of a header without `<|start|>`."""
        return [self._bytes.pop()] if self._bytes[-1:] == [_ROLE] else []

    def _tell(self) -> None:
        """Tells what came of the body, but for a role: the marker may come next."""
        if self._bytes[-1] != _ROLE:
            self._flush()
        elif len(self._bytes) > 1:
            self._bytes.pop()
            self._flush()
            self._bytes.append(_ROLE)

    def _flush(self) -> None:
        body = self._body
        if body is None or not self._bytes:
            return
        if body.kind is Kind.REASONING:
            self.reasoning_tokens += len(self._bytes)
        event = body.feed(b"".join(self._bytes))
        self._bytes.clear()
        if event is not None:
            self._events.append(event)

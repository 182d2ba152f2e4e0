"""A streaming parser of Harmony completions: token ids in, events out, however they are split.

Well-formed output is a sequence of messages; the prompt ends in the first `<|start|>assistant`:

    <|channel|>analysis<|message|>…<|end|>
    <|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{…}<|call|>

The parser is in one of two states, and only a special token moves it from BODY to HEADER:

                 <|message|>, or arguments that begin without it
          ┌─────────────────────────────────────────────────────────┐
          │                                                         ▼
       HEADER  ◀─── <|start|>, <|channel|>, <|end|>, <|call|>, … ─  BODY
          │                                                         ▲
          └─────────────────────────────────────────────────────────┘
                 the text turns out not to be a header

After an end marker the state is HEADER although no header has begun: models omit `<|start|>`, write
text there, or continue the arguments of a call that they ended too early. So an ended body is kept
until the next message begins (`_ended`), and a header that turns out to be text is appended to it
(`_resume`). `header` and `address` interpret a header; only this module decides where a message
begins and ends.

- Special tokens are ids, never text: whatever the model emits, no marker reaches an event.
- Every id takes effect when it is fed; however the ids are split, the joined events are the same.
- Nothing raises. Well-formed text parses as with `openai_harmony.StreamableParser`; in malformed
  text, no call and no text for the user is lost.
"""

import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from worker.harmony.conversation import Tool
from worker.harmony.events import Event, Finished, Kind, MessageBegun, MessageEnded, ToolCallBegun
from worker.harmony.parsing.address import Address
from worker.harmony.parsing.body import Body
from worker.harmony.parsing.header import Header, Origin
from worker.harmony.parsing.header_words import ASSISTANT, CONTENT_TYPES
from worker.harmony.parsing.recoveries import Recovery, header_recoveries
from worker.harmony.tool_names import ToolNames
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

_ENDS = frozenset({END, RETURN, CALL, ENDOFTEXT})
_ROLE = ASSISTANT.encode()
_MAX_TYPE = 24
"""The most characters of a content type, with junk around it, in the arguments' place."""
_NOT_A_TYPE = re.compile(r"""[{"\[]|[0-9]""")
_WORD = re.compile(r"[a-z]+")


def new_call_id(prefix: str = "call_") -> str:
    return f"{prefix}{secrets.token_hex(12)}"


class Parser:
    """The parser of one completion. The prompt must end in `<|start|>assistant`.

    `tools`: the tools on offer, against which mangled names are matched; also accepted as chat
    clients write them, `{"type": "function", "function": {…}}`.
    `recoveries`: the number of repairs so far, by `Recovery`.
    `calls`, `reasoning_tokens`: the number of calls, and of ids in analysis bodies, so far.
    """

    def __init__(
        self,
        tools: Sequence[Tool | Mapping[str, Any]] | None = None,
        *,
        call_id: Callable[[], str] = new_call_id,
    ) -> None:
        self.recoveries: Counter[str] = Counter()
        self.calls = 0
        self.reasoning_tokens = 0
        offered = [tool if isinstance(tool, Tool) else Tool.of(tool) for tool in tools or ()]
        self._tools = ToolNames(offered)
        self._call_id = call_id
        self._table = token_bytes()
        self._events: list[Event] = []
        self._read = 0  # the number of ids so far
        self._at = 0  # the position of the current marker or header token
        # The open header, or None in a body; and the position and byte length of each of its text
        # tokens.
        self._header: Header | None = Header(Origin.PROMPT, self._tools)
        self._header_tokens: list[tuple[int, int]] = []
        # The latest body, kept after its end until the next message begins.
        self._body: Body | None = None
        self._ended = False
        self._pending: list[bytes] = []  # its tokens that no event contains yet

    @property
    def in_text(self) -> bool:
        """Whether the next ordinary token is text for the user."""
        body = self._body
        return self._header is None and body is not None and body.kind is Kind.TEXT

    def feed(self, ids: Iterable[int]) -> list[Event]:
        """Takes the next token ids of the completion; returns the events they complete."""
        at, pending = self._read, self._pending
        for token in ids:
            if 0 <= token < FIRST_SPECIAL:
                if self._header is None:
                    pending.append(self._table[token])
                else:
                    self._at = at
                    self._header_text(self._header, self._table[token])
            else:
                self._at = at
                if self._header is None:
                    self._marker_in_body(token)
                else:
                    self._marker_in_header(self._header, token)
            at += 1  # `enumerate` costs more when tokens come one at a time
        self._read = at
        return self._take_events()

    def finish(self) -> list[Event]:
        """Ends the completion, complete or cut off by a limit; returns the remaining events."""
        self._at = self._read
        header, complete = self._header, self._ended
        if header is not None:
            complete = complete and header.blank
            self._end_header(header, natural=False)
        self._close_body(natural=self._ended)
        self._header, self._ended = None, True
        return [*self._take_events(), Finished(complete)]

    def _take_events(self) -> list[Event]:
        """The events since the last call.

        A final `assistant` waits for the next token: if a marker follows, it is the role of a
        header without `<|start|>`. Text in the arguments' place that may be a content type waits,
        too.
        """
        pending, body = self._pending, self._body
        if pending and not (body and body.empty and self._may_be_content_type()):
            if pending[-1] == _ROLE:
                pending.pop()
                self._emit()
                pending.append(_ROLE)
            else:
                self._emit()
        events, self._events = self._events, []
        return events

    # --- Markers

    def _marker_in_body(self, token: int) -> None:
        if token in _ENDS:  # `…<|message|>Hi.<|return|>`
            self._end(token)
        elif token == MESSAGE:  # `<|message|>json<|message|>{"a":1}`
            self._drop_content_type()
        elif token == START:  # `…<|message|>Hm.<|start|>assistant`: its end marker is missing
            self._begin_header(Origin.START)
        elif token in (CHANNEL, CONSTRAIN):
            self._channel_in_body(token)

    def _channel_in_body(self, token: int) -> None:
        role = self._take_role()
        self._emit()
        body = self._body
        if body and body.empty and body.header and not body.header.full:
            body.header.add_marker(token)  # `commentary<|message|><|channel|>…`: it came too early
            self._header = body.header
        elif token == CHANNEL:  # `…Hm.assistant<|channel|>final<|message|>`
            self._at -= len(role)
            self._begin_header(Origin.BODY, *role).add_marker(CHANNEL)
        else:  # `My assistant<|constrain|>s`: not a header
            self._pending += role

    def _marker_in_header(self, header: Header, token: int) -> None:
        if token in (MESSAGE, CONSTRAIN) and header.empty and self._lacks_arguments:
            # `to=functions.f json<|end|><|message|>{"a":1}`
            self.recoveries[Recovery.EARLY_END] += 1
            self._reopen(self._at + 1)
            self._marker_in_body(token)
        elif token == MESSAGE:
            self._message(header)
        elif token in _ENDS:
            if token == END and header.misuses_type and header.address().kind is Kind.CALL:
                # `to=functions.write <|constrain|>write: edit the file.<|end|>`: it starts over
                self.recoveries[Recovery.HEADER_JUNK] += 1
            else:  # `<|channel|>commentary to=functions.f<|call|>`
                self._end_header(header, natural=True)
            self._end(token)
        elif token == START:  # `<|channel|>final The answer is 4.<|start|>`
            self._end_header(header, natural=True)
            self._begin_header(Origin.START)
        elif token in (CHANNEL, CONSTRAIN):
            self._channel_in_header(header, token)

    def _channel_in_header(self, header: Header, token: int) -> None:
        if token == CHANNEL and header.is_text:  # `I look it up.<|channel|>commentary …`
            self._resume(header.text)
            self._marker_in_body(token)
            return
        if header.full:  # a flood of markers
            self._end_header(header, natural=True)
            header = self._begin_header(Origin.LOOSE if self._ended else Origin.BODY)
        header.add_marker(token)

    # --- Headers

    def _begin_header(self, origin: Origin, *text: bytes) -> Header:
        self._emit()
        if self._body and self._body.end is None:
            self._body.end = self._at
        header = Header(origin, self._tools, after_call=self.calls > 0)
        self._header_tokens = [(self._at, len(data)) for data in text]
        for data in text:
            header.add_text(data)
        self._header = header
        return header

    def _header_text(self, header: Header, data: bytes) -> None:
        self._header_tokens.append((self._at, len(data)))
        rest = header.add_text(data)
        if rest is None:
            return
        quoted = self._in_string and header.address().kind is not Kind.CALL
        if quoted or not header.certain:  # `It is sunny today`; `{"a": "<|channel|>`, a quotation
            self._resume(header.text + rest)
        else:  # `<|channel|>commentary to=functions.f{"a":1}`
            self.recoveries[Recovery.MISSING_MESSAGE] += 1
            self._open(header, rest.lstrip())

    def _message(self, header: Header) -> None:
        """`<|message|>` ends the header, unless the channel's name is still missing."""
        self._at += 1  # the body begins after the marker
        quoted = self._in_string and not header.names_channel_or_recipient
        if quoted or header.blank:  # `{"a": "<|start|>assistant<|message|>`
            self._resume(header.text)
        elif not header.lacks_channel:  # `<|channel|><|message|>final` stays a header
            self._open(header)

    def _end_header(self, header: Header, *, natural: bool) -> None:
        """Ends a header without a body: it was a call without arguments, text, or nothing."""
        rest = header.end(natural=natural)
        if not header.certain:  # `<|start|>assistantThe answer is 4.<|return|>`
            if (text := header.text + rest).strip():
                self._resume(text)
            return
        ends_message = natural and not self._in_string
        if rest.strip() or ends_message or header.address().kind is Kind.CALL:
            if natural:
                self.recoveries[Recovery.MISSING_MESSAGE] += 1
            self._open(header, rest.lstrip())
            if self._body is not None:
                self._body.opened_by_marker = False

    # --- Bodies

    @property
    def _in_string(self) -> bool:
        """Whether a string in the arguments is open: a marker in it is a quoted one."""
        return self._body is not None and self._body.in_string and not self._ended

    @property
    def _lacks_arguments(self) -> bool:
        """Whether a call was ended before its arguments."""
        return self._body is not None and self._body.lacks_arguments

    def _open(self, header: Header, text: bytes = b"") -> None:
        """Begins a message, unless this header is a continuation of the open message's header."""
        address = header.address()
        begin = self._start_of(text)
        if self._starts_message(address):
            self._begin_body(address, begin, header)
            self.recoveries.update(header_recoveries(header, address))
        else:
            if self._ended:
                self.recoveries[Recovery.EARLY_END] += 1
            self._reopen(begin)
            if self._body is not None:
                self._body.header = header
        if text:
            self._pending.append(text)

    def _starts_message(self, address: Address) -> bool:
        """Whether a header with this address begins a new message.

        A call that was ended in place of `<|message|>` is the same as the call after it:
        `to=functions.f json<|end|><|start|>assistant<|channel|>commentary to=functions.f …{"a":1}`.
        """
        body = self._body
        if body is None or not body.empty or not body.address.is_same_message(address):
            return True
        return self._ended and (body.opened_by_marker or not body.lacks_arguments)

    def _resume(self, text: bytes) -> None:
        """Assigns text in a header's place to the latest body, or to a new message."""
        body, begin = self._body, self._start_of(text)
        if self._lacks_arguments and text.lstrip()[:1] in (b"{", b"["):
            self.recoveries[Recovery.EARLY_END] += 1  # `json<|end|>{"city":"Oslo"}<|call|>`
            text = text.lstrip()
        elif body is None or (self._ended and body.kind in (Kind.REASONING, Kind.TEXT)):
            self.recoveries[Recovery.MISSING_HEADER] += 1  # `…Hm.<|end|>The answer is 4.`
            self._begin_body(Address(Kind.TEXT), begin)
        elif self._ended and body.kind is Kind.CALL and not body.unfinished:
            self.recoveries[Recovery.MADE_UP_RESULT] += 1  # `{"city":"Oslo"}<|call|>21 degrees`
            self._begin_body(Address(Kind.FOREIGN), begin)
        self._reopen(begin)
        self._pending.append(text)

    def _begin_body(self, address: Address, begin: int, header: Header | None = None) -> None:
        """Closes the latest body and opens one for this address."""
        self._close_body(natural=True)
        kind, name, channel = address
        self._body = Body(
            address,
            self.calls,
            begin=begin,
            header=header,
            code=self._tools.takes_code(name),
            code_property=self._tools.code_property(name),
        )
        self._header, self._ended = None, False
        if kind is not Kind.FOREIGN:
            self._events.append(MessageBegun(kind, channel, name or None))
        if kind is Kind.CALL:
            self._events.append(ToolCallBegun(self.calls, self._call_id(), name))
            self.calls += 1

    def _reopen(self, begin: int) -> None:
        """Continues the latest body. If it is still empty, it begins at `begin`."""
        self._header, self._ended = None, False
        if self._body is not None:
            self._body.end = None
            if self._body.empty:
                self._body.begin = begin

    def _end(self, token: int) -> None:
        """Ends the body at an end marker. After `<|call|>`, nothing more can be part of it."""
        if self._body is not None:
            self._body.sealed |= token == CALL
        self._ended = True
        self._begin_header(Origin.LOOSE)

    def _close_body(self, *, natural: bool) -> None:
        """Emits the rest of the body. `natural`: the model ended it, not a limit."""
        self._emit()
        body, self._body = self._body, None
        if body is None:
            return
        self._events += body.close(natural=natural)
        if body.repaired:
            self.recoveries[Recovery.ARGUMENTS] += 1
        if body.kind is not Kind.FOREIGN:
            end = self._at if body.end is None else body.end
            span = range(body.begin, max(body.begin, end))
            self._events.append(MessageEnded(natural, span, body.arguments))

    def _emit(self) -> None:
        """Makes an event of the pending tokens."""
        body, pending = self._body, self._pending
        if body is None or not pending:
            return
        if body.kind is Kind.REASONING:
            self.reasoning_tokens += len(pending)
        event = body.feed(b"".join(pending))
        pending.clear()
        if event is not None:
            self._events.append(event)

    # --- Tokens that wait for the next one

    def _take_role(self) -> list[bytes]:
        """Takes a final `assistant` off the pending tokens, if there is one."""
        return [self._pending.pop()] if self._pending[-1:] == [_ROLE] else []

    def _drop_content_type(self) -> None:
        """At a second `<|message|>`, drops a content type between the two markers."""
        if self._may_be_content_type() and not CONTENT_TYPES.isdisjoint(_WORD.findall(self._begun)):
            self._pending.clear()
            self._reopen(self._at + 1)

    def _may_be_content_type(self) -> bool:
        """Whether a call's arguments so far can be a content type or the beginning of one, with
        junk around it: `json`, `(json)?`. Code can begin with anything."""
        body = self._body
        if body is None or body.kind is not Kind.CALL or not body.empty or not self._pending:
            return False
        if body.takes_code:
            return any(name.startswith(self._begun) for name in CONTENT_TYPES)
        return len(self._begun) <= _MAX_TYPE and not _NOT_A_TYPE.search(self._begun)

    @property
    def _begun(self) -> str:
        return b"".join(self._pending).decode("utf-8", "replace").strip().lower()

    def _start_of(self, text: bytes) -> int:
        """The position at which a body begins whose first bytes `text` are the header's last."""
        left, begin = len(text), self._at
        for at, length in reversed(self._header_tokens):
            if left <= 0:
                break
            left, begin = left - length, at
        return begin

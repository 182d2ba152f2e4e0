"""A parser of Harmony completions: token ids in, events out, at any split.

Well-formed output is a run of messages, of which the prompt has written the first `<|start|>`:

    <|channel|>analysis<|message|>…<|end|>
    <|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{…}<|call|>

The parser is in one of two states, and only a special token moves it from one to the other:

                 <|message|>, or arguments that begin without it
          ┌─────────────────────────────────────────────────────────┐
          │                                                         ▼
       HEADER  ◀─── <|start|>, <|channel|>, <|end|>, <|call|>, … ─  BODY
          │                                                         ▲
          └─────────────────────────────────────────────────────────┘
                 what came proves to be text, not a header

After an end the state is HEADER, though nothing has begun: models leave out `<|start|>`, write
text there, or go on with the arguments of a call that they ended too early. So an ended body stays
at hand until the next message begins (`_ended`), and a header that proves to be text is given back
to it (`_resume`). What a header says is `header`'s and `address`'s business; where a message begins
and ends is decided here alone.

- Special tokens are ids and never text: whatever the model emits, no marker reaches an event.
- Every id takes effect when it is fed; events of any two splits are equal once joined.
- Nothing raises. Well-formed text reads as `openai_harmony.StreamableParser` reads it; malformed
  text loses no call that was meant and nothing that was said to the user.
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
from worker.harmony.parsing.recoveries import Recovery, mended
from worker.harmony.parsing.words import ASSISTANT, CONTENT_TYPES
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
_TYPE = 24
"""Characters that can be a content type in the arguments' place, with what sticks to it."""
_NO_TYPE = re.compile(r"""[{"\[]|[0-9]""")
_WORD = re.compile(r"[a-z]+")


def new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


class Parser:
    """One completion's parser. The prompt has ended in `<|start|>assistant`.

    `tools`: those on offer, to read a mangled name by; also in the form in which chat clients
    write them, `{"type": "function", "function": {…}}`.
    `recoveries`: what had to be mended, by `Recovery`.
    `calls`, `reasoning_tokens`: how many calls, and ids in bodies of analysis, there were so far.
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
        self._read = 0  # ids so far
        self._at = 0  # where the marker or the header's token stands that is looked at
        # The header that is open, or None in a body; and where its text's tokens stand, with the
        # bytes of each.
        self._header: Header | None = Header(Origin.PROMPT, self._tools)
        self._header_tokens: list[tuple[int, int]] = []
        # The latest body. After its end it stays until the next message begins.
        self._body: Body | None = None
        self._ended = False
        self._untold: list[bytes] = []  # its tokens that no event has told yet

    @property
    def in_text(self) -> bool:
        """Whether the next ordinary token is one that the user reads."""
        body = self._body
        return self._header is None and body is not None and body.kind is Kind.TEXT

    def feed(self, ids: Iterable[int]) -> list[Event]:
        """Takes the next token ids of the completion; returns what they say."""
        at, untold = self._read, self._untold
        for token in ids:
            if 0 <= token < FIRST_SPECIAL:
                if self._header is None:
                    untold.append(self._table[token])
                else:
                    self._at = at
                    self._header_text(self._header, self._table[token])
            else:
                self._at = at
                if self._header is None:
                    self._marker_in_body(token)
                else:
                    self._marker_in_header(self._header, token)
            at += 1  # `enumerate` costs more where one token comes at a time
        self._read = at
        return self._take_events()

    def finish(self) -> list[Event]:
        """The completion is over, by its own end or by a limit; returns what remains to say."""
        self._at = self._read
        header, complete = self._header, self._ended
        if header is not None:
            complete = complete and header.blank
            self._end_header(header, natural=False)
        self._close_body(natural=self._ended)
        self._header, self._ended = None, True
        return [*self._take_events(), Finished(complete)]

    def _take_events(self) -> list[Event]:
        """What came since the last time.

        A last `assistant` waits: it is the role of a header without `<|start|>` if a marker comes
        next. So does what may be a content type in the arguments' place.
        """
        untold, body = self._untold, self._body
        if untold and not (body and body.empty and self._may_be_type()):
            if untold[-1] == _ROLE:
                untold.pop()
                self._tell()
                untold.append(_ROLE)
            else:
                self._tell()
        events, self._events = self._events, []
        return events

    # --- Markers

    def _marker_in_body(self, token: int) -> None:
        if token in _ENDS:  # `…<|message|>Hi.<|return|>`
            self._end(token)
        elif token == MESSAGE:  # `<|message|>json<|message|>{"a":1}`
            self._drop_type()
        elif token == START:  # `…<|message|>Hm.<|start|>assistant`: its end is missing
            self._begin_header(Origin.START)
        elif token in (CHANNEL, CONSTRAIN):
            self._channel_in_body(token)

    def _channel_in_body(self, token: int) -> None:
        role = self._take_role()
        self._tell()
        body = self._body
        if body and body.empty and body.header and not body.header.full:
            body.header.add_marker(token)  # `commentary<|message|><|channel|>…`: it came too early
            self._header = body.header
        elif token == CHANNEL:  # `…Hm.assistant<|channel|>final<|message|>`
            self._at -= len(role)
            self._begin_header(Origin.BODY, *role).add_marker(CHANNEL)
        else:  # `My assistant<|constrain|>s`: it opens nothing
            self._untold += role

    def _marker_in_header(self, header: Header, token: int) -> None:
        if token in (MESSAGE, CONSTRAIN) and header.empty and self._lacks_arguments:
            # `to=functions.f json<|end|><|message|>{"a":1}`
            self.recoveries[Recovery.EARLY_END] += 1
            self._reenter(self._at + 1)
            self._marker_in_body(token)
        elif token == MESSAGE:
            self._message(header)
        elif token in _ENDS:
            if token == END and header.misuses_type and header.address().kind is Kind.CALL:
                # `to=functions.write <|constrain|>write: edit the file.<|end|>`: a call begun anew
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
        self._tell()
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
        """The header is over, as it should be; unless the channel's name is still to come."""
        self._at += 1  # what comes after the marker is the body
        quoted = self._in_string and not header.names_channel_or_recipient
        if quoted or header.blank:  # `{"a": "<|start|>assistant<|message|>`
            self._resume(header.text)
        elif not header.lacks_channel:  # not so `<|channel|><|message|>final`
            self._open(header)

    def _end_header(self, header: Header, *, natural: bool) -> None:
        """No body comes after this header: it was a call without arguments, text, or nothing."""
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
                self._body.announced = False

    # --- Bodies

    @property
    def _in_string(self) -> bool:
        """Whether an argument's string is open: a marker in it is one that the model quotes."""
        return self._body is not None and self._body.in_string and not self._ended

    @property
    def _lacks_arguments(self) -> bool:
        """Whether a call had its end before its arguments."""
        return self._body is not None and self._body.lacks_arguments

    def _open(self, header: Header, text: bytes = b"") -> None:
        """A new message begins, unless this is the rest of the open one's header."""
        address = header.address()
        begin = self._where(text)
        if self._begins_anew(address):
            self._begin_body(address, begin, header)
            self.recoveries.update(mended(header, address))
        else:
            if self._ended:
                self.recoveries[Recovery.EARLY_END] += 1
            self._reenter(begin)
            if self._body is not None:
                self._body.header = header
        if text:
            self._untold.append(text)

    def _begins_anew(self, address: Address) -> bool:
        """Whether a header with this address begins a message, not the rest of the open one's.

        A call that had its end in place of `<|message|>` is the one that comes next:
        `to=functions.f json<|end|><|start|>assistant<|channel|>commentary to=functions.f …{"a":1}`.
        """
        body = self._body
        if body is None or not body.empty or not body.address.is_same_message(address):
            return True
        return self._ended and (body.announced or not body.lacks_arguments)

    def _resume(self, text: bytes) -> None:
        """Text where a header should be belongs to the latest body; or to an answer of its own."""
        body, begin = self._body, self._where(text)
        if self._lacks_arguments and text.lstrip()[:1] in (b"{", b"["):
            self.recoveries[Recovery.EARLY_END] += 1  # `json<|end|>{"city":"Oslo"}<|call|>`
            text = text.lstrip()
        elif body is None or (self._ended and body.kind in (Kind.REASONING, Kind.TEXT)):
            self.recoveries[Recovery.MISSING_HEADER] += 1  # `…Hm.<|end|>The answer is 4.`
            self._begin_body(Address(Kind.TEXT), begin)
        elif self._ended and body.kind is Kind.CALL and not body.unfinished:
            self.recoveries[Recovery.MADE_UP_RESULT] += 1  # `{"city":"Oslo"}<|call|>21 degrees`
            self._begin_body(Address(Kind.FOREIGN), begin)
        self._reenter(begin)
        self._untold.append(text)

    def _begin_body(self, address: Address, begin: int, header: Header | None = None) -> None:
        """Closes the latest body, and opens one for this address."""
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

    def _reenter(self, begin: int) -> None:
        """The latest body goes on. If it is still empty, it begins only at `begin`."""
        self._header, self._ended = None, False
        if self._body is not None:
            self._body.end = None
            if self._body.empty:
                self._body.begin = begin

    def _end(self, token: int) -> None:
        """The body had its end. After `<|call|>`, nothing that comes is part of it."""
        if self._body is not None:
            self._body.sealed |= token == CALL
        self._ended = True
        self._begin_header(Origin.LOOSE)

    def _close_body(self, *, natural: bool) -> None:
        """Tells what remains of the body. `natural`: the model ended it, not a limit."""
        self._tell()
        body, self._body = self._body, None
        if body is None:
            return
        self._events += body.close(natural=natural)
        if body.mended:
            self.recoveries[Recovery.ARGUMENTS] += 1
        if body.kind is not Kind.FOREIGN:
            end = self._at if body.end is None else body.end
            self._events.append(MessageEnded(natural, range(body.begin, max(body.begin, end))))

    def _tell(self) -> None:
        """Makes an event of all that is untold."""
        body, untold = self._body, self._untold
        if body is None or not untold:
            return
        if body.kind is Kind.REASONING:
            self.reasoning_tokens += len(untold)
        event = body.feed(b"".join(untold))
        untold.clear()
        if event is not None:
            self._events.append(event)

    # --- What waits for the next token

    def _take_role(self) -> list[bytes]:
        """Takes a last `assistant` off the body, if there is one."""
        return [self._untold.pop()] if self._untold[-1:] == [_ROLE] else []

    def _drop_type(self) -> None:
        """`<|message|>` came again: a content type between the two is no part of the arguments."""
        if self._may_be_type() and not CONTENT_TYPES.isdisjoint(_WORD.findall(self._begun)):
            self._untold.clear()
            self._reenter(self._at + 1)

    def _may_be_type(self) -> bool:
        """Whether all that came of a call's arguments can be a content type or the beginning of
        one, with what sticks to it: `json`, `(json)?`. Code can begin with anything."""
        body = self._body
        if body is None or body.kind is not Kind.CALL or not body.empty or not self._untold:
            return False
        if body.takes_code:
            return any(name.startswith(self._begun) for name in CONTENT_TYPES)
        return len(self._begun) <= _TYPE and not _NO_TYPE.search(self._begun)

    @property
    def _begun(self) -> str:
        return b"".join(self._untold).decode("utf-8", "replace").strip().lower()

    def _where(self, text: bytes) -> int:
        """Where a body begins whose first bytes are `text`, the last of the header's."""
        left, begin = len(text), self._at
        for at, length in reversed(self._header_tokens):
            if left <= 0:
                break
            left, begin = left - length, at
        return begin

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

from worker.harmony.conversation import Tool
from worker.harmony.events import Event, Finished
from worker.harmony.parsing.address import Address, Kind
from worker.harmony.parsing.bodies import Bodies
from worker.harmony.parsing.header import Header, Origin
from worker.harmony.parsing.recoveries import Recovery, mended
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


def new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


class Parser:
    """One completion's parser. The prompt has ended in `<|start|>assistant`.

    `tools`: those on offer, to read a mangled name by; also in the form in which chat clients
    write them, `{"type": "function", "function": {…}}`.
    `recoveries`: what had to be mended, by `Recovery`.
    """

    def __init__(
        self,
        tools: Sequence[Tool | Mapping[str, Any]] | None = None,
        *,
        call_id: Callable[[], str] = new_call_id,
    ) -> None:
        self.recoveries: Counter[str] = Counter()
        offered = [tool if isinstance(tool, Tool) else Tool.of(tool) for tool in tools or ()]
        self._tools = ToolNames(offered)
        self._table = token_bytes()
        self._bodies = Bodies(self._tools, call_id, self.recoveries)
        self._header: Header | None = Header(Origin.PROMPT, self._tools)
        self._body_header: Header | None = None  # that opened the body

    @property
    def reasoning_tokens(self) -> int:
        """How many ids were bodies of analysis so far."""
        return self._bodies.reasoning_tokens

    @property
    def calls(self) -> int:
        """How many calls there were so far."""
        return self._bodies.calls

    @property
    def in_text(self) -> bool:
        """Whether the next ordinary token is one that the user reads."""
        body = self._bodies.open
        return self._header is None and body is not None and body.kind is Kind.TEXT

    def feed(self, ids: Iterable[int]) -> list[Event]:
        """Takes the next token ids of the completion; returns what they say."""
        held = self._bodies.held
        for token in ids:
            if 0 <= token < FIRST_SPECIAL:
                if self._header is None:
                    held.append(self._table[token])
                else:
                    self._header_text(self._header, self._table[token])
            elif self._header is None:
                self._marker_in_body(token)
            else:
                self._marker_in_header(self._header, token)
        return self._bodies.take_events()

    def finish(self) -> list[Event]:
        """The completion is over, by its own end or by a limit; returns what remains to say."""
        bodies, header = self._bodies, self._header
        complete = bodies.ended
        if header is not None:
            complete = complete and header.blank
            self._end_header(header, natural=False)
        bodies.close(natural=bodies.ended)
        self._header, bodies.ended = None, True
        return [*bodies.take_events(), Finished(complete)]

    def _marker_in_body(self, token: int) -> None:
        if token in _ENDS:
            self._end(token)
        elif token == MESSAGE:
            self._bodies.drop_type()
        elif token == START:
            self._begin_header(Origin.START)
        elif token in (CHANNEL, CONSTRAIN):
            role = self._bodies.take_role()
            self._bodies.flush()
            header, body = self._body_header, self._bodies.open
            if header and not header.full and body and body.empty:
                header.add_marker(token)  # its `<|message|>` came too early
                self._header = header
            elif token == CHANNEL:
                self._begin_header(Origin.BODY, *role).add_marker(CHANNEL)
            else:
                self._bodies.held += role

    def _marker_in_header(self, header: Header, token: int) -> None:
        if token in (MESSAGE, CONSTRAIN) and header.empty and self._bodies.ended_early:
            self.recoveries[Recovery.EARLY_END] += 1
            self._header, self._bodies.ended = None, False
            self._marker_in_body(token)
        elif token == MESSAGE:
            self._message(header)
        elif token in _ENDS:
            if token == END and header.misuses_type and header.address().kind is Kind.CALL:
                # `to=functions.write <|constrain|>write: edit the file.<|end|>`: a call begun anew
                self.recoveries[Recovery.HEADER_JUNK] += 1
            else:
                self._end_header(header, natural=True)
            self._end(token)
        elif token == START:
            self._end_header(header, natural=True)
            self._begin_header(Origin.START)
        elif token in (CHANNEL, CONSTRAIN):
            if token == CHANNEL and header.is_text:  # `I look it up.<|channel|>commentary …`
                self._resume(header.text)
                self._marker_in_body(token)
                return
            if header.full:
                self._end_header(header, natural=True)
                header = self._begin_header(Origin.LOOSE if self._bodies.ended else Origin.BODY)
            header.add_marker(token)

    def _begin_header(self, origin: Origin, *text: bytes) -> Header:
        self._bodies.flush()
        header = Header(origin, self._tools, after_call=self.calls > 0)
        for data in text:
            header.add_text(data)
        self._header = header
        return header

    def _header_text(self, header: Header, data: bytes) -> None:
        rest = header.add_text(data)
        if rest is None:
            return
        quoted = self._bodies.in_string and header.address().kind is not Kind.CALL
        if quoted or not header.certain:
            self._resume(header.text + rest)
        else:
            self.recoveries[Recovery.MISSING_MESSAGE] += 1
            self._open(header, rest.lstrip())

    def _message(self, header: Header) -> None:
        """The header is over, as it should be; unless the channel's name is still to come."""
        quoted = self._bodies.in_string and not header.names_channel_or_recipient
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
        ends_message = natural and not self._bodies.in_string
        if rest.strip() or ends_message or header.address().kind is Kind.CALL:
            if natural:
                self.recoveries[Recovery.MISSING_MESSAGE] += 1
            self._open(header, rest.lstrip())
            if self._bodies.open is not None:
                self._bodies.open.announced = False

    def _end(self, token: int) -> None:
        self._bodies.end(sealed=token == CALL)
        self._begin_header(Origin.LOOSE)

    def _resume(self, text: bytes) -> None:
        """Text where a header should be belongs to the open body; or to an answer of its own."""
        self._header = None
        bodies, body = self._bodies, self._bodies.open
        if bodies.ended_early and text.lstrip()[:1] in (b"{", b"["):
            self.recoveries[Recovery.EARLY_END] += 1  # `json<|end|>{"city":"Oslo"}<|call|>`
            text = text.lstrip()
        elif body is None or (bodies.ended and body.kind in (Kind.REASONING, Kind.TEXT)):
            self.recoveries[Recovery.MISSING_HEADER] += 1
            self._begin_body(Address(Kind.TEXT))
        elif bodies.ended and body.kind is Kind.CALL and not body.unfinished:
            self.recoveries[Recovery.MADE_UP_RESULT] += 1
            self._begin_body(Address(Kind.FOREIGN))  # it pretends to be the call's result
        bodies.ended = False
        bodies.held.append(text)

    def _begin_body(self, address: Address) -> None:
        self._bodies.begin(address)
        self._body_header = None

    def _open(self, header: Header, text: bytes = b"") -> None:
        """A new message begins, unless this is the rest of the open one's header."""
        address = header.address()
        if self._bodies.begins_anew(address):
            self._bodies.begin(address)
            self.recoveries.update(mended(header, address))
        elif self._bodies.ended:
            self.recoveries[Recovery.EARLY_END] += 1
            self._bodies.ended = False
        self._header, self._body_header = None, header
        if text:
            self._bodies.held.append(text)

"""A parser of Harmony completions: token ids in, events out, at any split.

Rules:
- Special tokens are ids and never text: whatever the model emits, no marker reaches an event.
- Every id has its effect when it is fed; events of any two splits are equal once joined.
- Nothing raises. Well-formed text reads as `openai_harmony.StreamableParser` reads it; malformed
  text loses no call that was meant and nothing that was told to the user.
"""

import codecs
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.harmony.arguments import Arguments
from worker.harmony.events import (
    Event,
    Finished,
    Reasoning,
    Text,
    ToolCallArguments,
    ToolCallBegun,
)
from worker.harmony.header import Address, Header, Kind, Origin, ToolNames
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


@dataclass(slots=True)
class _Body:
    """A message's body while it comes in."""

    kind: Kind
    index: int = 0
    arguments: Arguments = field(default_factory=Arguments)
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )


class Parser:
    """One completion's parser. The prompt has ended in `<|start|>assistant`.

    `tools`: the request's tools (OpenAI's form), to read a mangled name by.
    `reasoning_tokens`: how many ids were bodies of analysis so far.
    """

    def __init__(
        self,
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        call_id: Callable[[], str] = new_call_id,
    ) -> None:
        self.reasoning_tokens = 0
        self.calls = 0
        self._tools = ToolNames(tools or ())
        self._call_id = call_id
        self._table = token_bytes()
        self._header: Header | None = Header(Origin.PROMPT, self._tools)
        self._body: _Body | None = None  # the open body, or the one that a broken header resumes
        self._closed = False  # the body has had its end; loose text may still reopen a call
        self._bytes: list[bytes] = []
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
            else:
                self._marker(token)
        self._flush()
        events, self._events = self._events, []
        return events

    def finish(self) -> list[Event]:
        """The completion is over, by its own end or by a limit; returns what remains to say."""
        header = self._header
        if header is not None and not self._closed and header.names_complete_tool:
            self._open(header.read())
        complete = self._closed
        self._close(natural=complete)
        self._header, self._closed = None, True
        self._events.append(Finished(complete))
        events, self._events = self._events, []
        return events

    def _marker(self, token: int) -> None:
        if self._header is None:
            self._marker_in_body(token)
        elif token in (CHANNEL, CONSTRAIN):
            self._header.add_marker(token)
        elif token == MESSAGE:
            self._open(self._header.read())
        elif token == START:
            self._header = Header(Origin.START, self._tools)
        elif token in _ENDS:
            self._end_in_header(self._header)

    def _marker_in_body(self, token: int) -> None:
        if token in _ENDS:
            self._flush()
            self._end()
        elif token == START:
            self._header = Header(Origin.START, self._tools)
        elif token == CHANNEL:
            self._header = Header(Origin.BODY, self._tools)
            self._header.add_marker(CHANNEL)

    def _end_in_header(self, header: Header) -> None:
        """A message that ended before its `<|message|>`: a call without arguments, or nothing."""
        address = header.read()
        if address.kind is Kind.CALL and header.says_anything:
            self._open(address)
        self._end()

    def _end(self) -> None:
        self._closed = True
        self._header = Header(Origin.LOOSE, self._tools)

    def _header_text(self, header: Header, data: bytes) -> None:
        body_text = header.add_text(data)
        if body_text is None:
            return
        if header.says_anything:
            self._open(header.read())
        else:
            body_text = "".join(s.text for s in header.segments) + body_text
            self._resume(header.origin)
        self._bytes.append(body_text.encode())

    def _resume(self, origin: Origin) -> None:
        """Text where a header should be belongs to the open body; or to an answer of its own."""
        body = self._body
        self._header = None
        if body is None or (origin is Origin.LOOSE and body.kind in (Kind.REASONING, Kind.TEXT)):
            self._open(Address(Kind.TEXT))
        elif self._closed and body.kind is Kind.CALL and body.arguments.complete:
            self._open(Address(Kind.FOREIGN))
        self._closed = False

    def _open(self, address: Address) -> None:
        """A new message begins; the last one is over."""
        self._close(natural=True)
        self._header, self._closed = None, False
        self._body = _Body(address.kind, self.calls)
        if address.kind is Kind.CALL:
            self._events.append(ToolCallBegun(self.calls, self._call_id(), address.name))
            self.calls += 1

    def _close(self, *, natural: bool) -> None:
        self._flush()
        body, self._body = self._body, None
        if body is None:
            return
        if natural:
            self._say(body, body.decoder.decode(b"", final=True))
        if body.kind is Kind.CALL and (rest := body.arguments.close(natural=natural)):
            self._events.append(ToolCallArguments(body.index, rest))

    def _flush(self) -> None:
        body = self._body
        if body is None or not self._bytes:
            return
        if body.kind is Kind.REASONING:
            self.reasoning_tokens += len(self._bytes)
        self._say(body, body.decoder.decode(b"".join(self._bytes)))
        self._bytes.clear()

    def _say(self, body: _Body, text: str) -> None:
        if not text:
            return
        if body.kind is Kind.REASONING:
            self._events.append(Reasoning(text))
        elif body.kind is Kind.TEXT:
            self._events.append(Text(text))
        elif body.kind is Kind.CALL and (sent := body.arguments.feed(text)):
            self._events.append(ToolCallArguments(body.index, sent))

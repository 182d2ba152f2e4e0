"""A message's body: bytes in, events out.

A character that is split across tokens is emitted whole, and bytes that are not UTF-8 become
U+FFFD, as they do in `openai_harmony`.
"""

import codecs

from worker.harmony.events import Event, Kind, Reasoning, Text, ToolCallArguments
from worker.harmony.parsing.address import Address
from worker.harmony.parsing.call_arguments import Arguments
from worker.harmony.parsing.header import Header

_TEXT_EVENTS = {Kind.REASONING: Reasoning, Kind.TEXT: Text}
_decoder = codecs.getincrementaldecoder("utf-8")


class Body:
    """Call `feed` with bytes as they arrive, then `close`.

    Example: of `Address(Kind.TEXT)`, `feed(b"Z\\xc3")` returns `Text("Z")` and
    `feed(b"\\xbcrich")` then returns `Text("ürich")`. A call's body returns
    `ToolCallArguments(index, …)`, a foreign one nothing.

    `index`: the number of the call. `code`: the call takes code, not JSON. `code_property`: it
    takes JSON, and raw code becomes the value of that property.
    `header`: the header that opened it; None for text found where a header should be.
    `begin`, `end`: its position in the completion's ids; `end` is None while it is open.
    `sealed`: `<|call|>` ended it, so nothing after that is part of it.
    `opened_by_marker`: False if its header ended without `<|message|>`, so that an empty body may
    still get its text.
    """

    def __init__(
        self,
        address: Address,
        index: int,
        *,
        begin: int,
        header: Header | None,
        code: bool,
        code_property: str | None,
    ) -> None:
        self.address = address
        self.kind = address.kind
        self.header = header
        self.begin = begin
        self.end: int | None = None
        self.empty = True
        self.sealed = False
        self.opened_by_marker = True
        self.takes_code = code or code_property is not None
        self._index = index
        self._text_event = _TEXT_EVENTS.get(address.kind)
        self._arguments = Arguments(code=code, code_property=code_property)
        self._decoder = _decoder("replace")

    @property
    def in_string(self) -> bool:
        """Whether a string in the arguments is open: a marker in it is a quoted one."""
        return self._arguments.in_string

    @property
    def lacks_arguments(self) -> bool:
        """Whether this is a call whose arguments may still come, even if a marker ended it."""
        return self.kind is Kind.CALL and self.empty and not self.sealed

    @property
    def arguments(self) -> str:
        """The arguments so far, as events had them; empty if this is not a call."""
        return self._arguments.sent

    @property
    def repaired(self) -> bool:
        """Whether the arguments were repaired when the body was closed."""
        return self._arguments.repaired

    @property
    def unfinished(self) -> bool:
        """Whether an end at this point would be too early: in the middle of the arguments."""
        return self._arguments.unfinished and not self.sealed

    def feed(self, data: bytes, *, last: bool = False) -> Event | None:
        self.empty = False
        text = self._decoder.decode(data, last)
        if not text:
            return None
        if self._text_event is not None:
            return self._text_event(text)
        sent = self._arguments.feed(text) if self.kind is Kind.CALL else ""
        return ToolCallArguments(self._index, sent) if sent else None

    def close(self, *, natural: bool) -> list[Event]:
        """The remaining events. `natural`: the model ended the body; it was not cut off."""
        last = self.feed(b"", last=True) if natural else None
        events = [last] if last else []
        if self.kind is Kind.CALL and (rest := self._arguments.close(natural=natural)):
            events.append(ToolCallArguments(self._index, rest))
        return events

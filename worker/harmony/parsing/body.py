"""A message's body: bytes in, events out.

A character that is split over tokens is never broken, and bytes that are no UTF-8 become U+FFFD,
as they do in `openai_harmony`.
"""

import codecs

from worker.harmony.events import Event, Kind, Reasoning, Text, ToolCallArguments
from worker.harmony.parsing.address import Address
from worker.harmony.parsing.call_arguments import Arguments
from worker.harmony.parsing.header import Header

_TOLD = {Kind.REASONING: Reasoning, Kind.TEXT: Text}
_decoder = codecs.getincrementaldecoder("utf-8")


class Body:
    """`feed` bytes, then `close`.

    `index`: the number of the call; `code`: the call takes code, not JSON; `code_property`: it
    takes JSON, and raw code is the value of that property.
    `header`: what opened it, or None for text that stood where a header should.
    `begin`, `end`: where it stands in the completion's ids; `end` is None while it is open.
    `sealed`: `<|call|>` ended it, so nothing after that is part of it.
    `announced`: `<|message|>` came before it, so that an empty one is meant to be empty.
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
        self.announced = True
        self.takes_code = code or code_property is not None
        self._index = index
        self._told = _TOLD.get(address.kind)
        self._arguments = Arguments(code=code, code_property=code_property)
        self._decoder = _decoder("replace")

    @property
    def in_string(self) -> bool:
        """Whether an argument's string is open: a marker in it is one that the model quotes."""
        return self._arguments.in_string

    @property
    def lacks_arguments(self) -> bool:
        """Whether this is a call whose arguments are still to come, whatever has ended it."""
        return self.kind is Kind.CALL and self.empty and not self.sealed

    @property
    def mended(self) -> bool:
        """Whether arguments were changed when they closed."""
        return self._arguments.mended

    @property
    def unfinished(self) -> bool:
        """Whether an end here comes too early: in the middle of the arguments."""
        return self._arguments.unfinished and not self.sealed

    def feed(self, data: bytes, *, last: bool = False) -> Event | None:
        self.empty = False
        text = self._decoder.decode(data, last)
        if not text:
            return None
        if self._told is not None:
            return self._told(text)
        sent = self._arguments.feed(text) if self.kind is Kind.CALL else ""
        return ToolCallArguments(self._index, sent) if sent else None

    def close(self, *, natural: bool) -> list[Event]:
        """What remains to say. `natural`: the model ended the body, it was not cut off."""
        last = self.feed(b"", last=True) if natural else None
        events = [last] if last else []
        if self.kind is Kind.CALL and (rest := self._arguments.close(natural=natural)):
            events.append(ToolCallArguments(self._index, rest))
        return events

"""A message's body while it comes in: bytes in, events out.

Rule: a character that is split over tokens is never broken, and bytes that are no UTF-8 become
U+FFFD, as they do in `openai_harmony`.
"""

import codecs

from worker.harmony.events import Event, Reasoning, Text, ToolCallArguments
from worker.harmony.parsing.address import Address, Kind
from worker.harmony.parsing.call_arguments import Arguments

_TOLD = {Kind.REASONING: Reasoning, Kind.TEXT: Text}
_decoder = codecs.getincrementaldecoder("utf-8")


class Body:
    """`feed` bytes, then `close`. `index` counts the calls; `code`: the call takes code, not JSON;
    `code_property`: it takes JSON, and raw code is the value of that property.

    `sealed`: `<|call|>` ended it, so nothing that comes after is its own.
    `announced`: `<|message|>` came before it, so that an empty one is meant to be empty.
    """

    def __init__(
        self, address: Address, index: int, *, code: bool, code_property: str | None = None
    ) -> None:
        self.address = address
        self.kind = address.kind
        self.empty = True
        self.sealed = False
        self.announced = True
        self._index = index
        self.takes_code = code or code_property is not None
        self._told = _TOLD.get(address.kind)
        self._arguments = Arguments(code=code, code_property=code_property)
        self._decoder = _decoder("replace")

    @property
    def in_string(self) -> bool:
        """Whether an argument's string is open: a marker in it is one that the model quotes."""
        return self._arguments.in_string

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

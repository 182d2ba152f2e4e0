"""What the parser can have to mend in a completion, by kind; counted, so that it can be watched.

Rule: well-formed text counts nothing and pays nothing for the count.
"""

from collections.abc import Iterator
from enum import StrEnum

from worker.harmony.events import Kind
from worker.harmony.parsing.address import Address
from worker.harmony.parsing.header import Header, Origin
from worker.harmony.tool_names import is_builtin


class Recovery(StrEnum):
    MISSING_HEADER = "missing_header"
    """Text stood where a header should."""
    MISSING_START = "missing_start"
    """A message began without `<|start|>`."""
    MISSING_MESSAGE = "missing_message"
    """A header ended without `<|message|>`."""
    EARLY_END = "early_end"
    """A call was ended before its arguments, which then came."""
    HEADER_JUNK = "header_junk"
    """A header held words that mean nothing."""
    RECIPIENT = "recipient"
    """A call's recipient was not written as `to=functions.NAME`."""
    CHANNEL = "channel"
    """A call came on another channel than commentary."""
    ARGUMENTS = "arguments"
    """Trailing commas went from a call's arguments, or missing brackets came."""
    MADE_UP_RESULT = "made_up_result"
    """A call's result followed the call, and is not told."""


def mended(header: Header, address: Address) -> Iterator[Recovery]:
    """What is not as it should be in a header that was understood."""
    if header.origin not in (Origin.PROMPT, Origin.START):
        yield Recovery.MISSING_START
    if header.has_junk:
        yield Recovery.HEADER_JUNK
    if address.kind is Kind.CALL and not is_builtin(address.name):
        if f"to=functions.{address.name}" not in header.text.decode("utf-8", "replace"):
            yield Recovery.RECIPIENT
        if b"commentary" not in header.text:
            yield Recovery.CHANNEL

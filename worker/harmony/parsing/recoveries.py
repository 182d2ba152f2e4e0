"""The kinds of repair that the parser makes to a completion, counted for monitoring.

Rule: well-formed text counts nothing and costs nothing.
"""

from collections.abc import Iterator
from enum import StrEnum

from worker.harmony.events import Kind
from worker.harmony.parsing.address import Address
from worker.harmony.parsing.header import Header, Origin
from worker.harmony.tool_names import is_builtin


class Recovery(StrEnum):
    MISSING_HEADER = "missing_header"
    """Text appeared where a header was expected."""
    MISSING_START = "missing_start"
    """A message began without `<|start|>`."""
    MISSING_MESSAGE = "missing_message"
    """A header ended without `<|message|>`."""
    EARLY_END = "early_end"
    """A call was ended before its arguments, which followed afterwards."""
    HEADER_JUNK = "header_junk"
    """A header contained meaningless words."""
    RECIPIENT = "recipient"
    """A call's recipient was not written as `to=functions.NAME`."""
    CHANNEL = "channel"
    """A call was made on a channel other than commentary."""
    ARGUMENTS = "arguments"
    """Trailing commas were removed from a call's arguments, or missing brackets added."""
    MADE_UP_RESULT = "made_up_result"
    """The model made up a result after its call; it is not passed on."""


def header_recoveries(header: Header, address: Address) -> Iterator[Recovery]:
    """The deviations in a header that was understood nonetheless."""
    if header.origin not in (Origin.PROMPT, Origin.START):
        yield Recovery.MISSING_START
    if header.has_junk:
        yield Recovery.HEADER_JUNK
    if address.kind is Kind.CALL and not is_builtin(address.name):
        if f"to=functions.{address.name}" not in header.text.decode("utf-8", "replace"):
            yield Recovery.RECIPIENT
        if b"commentary" not in header.text:
            yield Recovery.CHANNEL

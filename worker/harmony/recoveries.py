"""What the parser can have to mend in a completion, by kind; counted, so that it can be watched.

Rule: well-formed text counts nothing and pays nothing for the count.
"""

from enum import StrEnum


class Recovery(StrEnum):
    MISSING_HEADER = "missing_header"
    """Text stood where a header should."""
    MISSING_START = "missing_start"
    """A message began without `<|start|>`."""
    MISSING_MESSAGE = "missing_message"
    """A header ended without `<|message|>`."""
    EARLY_END = "early_end"
    """A call was ended before its arguments, which then came."""
    RECIPIENT = "recipient"
    """A call's recipient was not written as `to=functions.NAME`."""
    CHANNEL = "channel"
    """A call came on another channel than commentary."""
    ARGUMENTS = "arguments"
    """Trailing commas went from a call's arguments, or missing brackets came."""
    MADE_UP_RESULT = "made_up_result"
    """A call's result followed the call, and is not told."""

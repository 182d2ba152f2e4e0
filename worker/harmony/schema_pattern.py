"""Which regular expressions a grammar can hold a JSON string to.

Rule: the grammar matches the whole string as it is *written* in JSON, where a quote, a backslash
or a line is an escape; and it ignores look-arounds and anchors in the middle. So a pattern is
holdable if it is made of plain pieces only. Measured in tests/test_schema_support.py.
"""

import re

_TIMES = r"(?:[*+?]|\{\d+(?:,\d*)?\})\??"
_ESCAPE = r"\\[dswS./+*?()\[\]{}|^$@#%&=:,!<>~_-]"
_CLASS = (
    r"\[(?:"
    rf"(?:[^\\\]\[\"^\x00-\x1f]|{_ESCAPE})(?:[^\\\]\[\"\x00-\x1f]|{_ESCAPE})*"
    r"|\^(?:[^\\\]\[\"\x00-\x1f]|\\[./+*?()\[\]{}|^$-])+"
    r")\]"
)
_LITERAL = r"[^\\^$\"\[\](){}|*+?\x00-\x1f]"  # a dot too
_PIECE = re.compile(
    rf"(?P<open>\((?:\?:)?(?!\?))|(?P<close>\)(?:{_TIMES})?)|(?P<sign>[|^$])"
    rf"|(?:{_CLASS}|{_ESCAPE}|{_LITERAL})(?:{_TIMES})?"
)


def holdable(pattern: str) -> bool:
    """Whether every string that the grammar of `pattern` admits matches it, and is JSON."""
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    position = depth = 0
    while position < len(pattern):
        piece = _PIECE.match(pattern, position)
        if piece is None:
            return False
        depth += (piece["open"] is not None) - (piece["close"] is not None)
        if piece["sign"] in ("^", "$") and (depth or not _at_an_edge(pattern, position)):
            return False
        position = piece.end()
    return True


def _at_an_edge(pattern: str, position: int) -> bool:
    """Whether the anchor there begins or ends an alternative."""
    before, after = pattern[:position], pattern[position + 1 :]
    if pattern[position] == "^":
        return before in ("",) or before.endswith("|")
    return after in ("",) or after.startswith("|")

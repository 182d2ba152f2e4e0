"""Which regular expressions a grammar can hold a JSON string to.

Rule: the grammar matches the whole string as it is *written* in JSON, where a quote, a backslash
or a line is an escape; it ignores look-arounds, and anchors in the middle. So a pattern is
holdable if it is made of plain pieces only. Pieces that also match what must be escaped are plain
up to some 128 repetitions, since xgrammar expands more of them in a way that lets escapes through.
Measured on xgrammar 0.2.7 in tests/test_schema_support.py.
"""

import re

_TIMES = r"(?P<{}>[*+?]|\{{\d+(?:,\d*)?\}})\??"
_ESCAPE = r"\\[dswS./+*?()\[\]{}|^$@#%&=:,!<>~_-]"
_PLAIN_ESCAPE = r"\\[./+*?()\[\]{}|^$-]"
_CLASS = (
    rf"\[(?:(?:[^\\\]\[\"^\x00-\x1f]|{_ESCAPE})(?:[^\\\]\[\"\x00-\x1f]|{_ESCAPE})*"
    rf"|\^(?:[^\\\]\[\"\x00-\x1f]|{_PLAIN_ESCAPE})+)\]"
)
_LITERAL = r"[^\\^$\"\[\](){}|*+?\x00-\x1f]"  # the dot too
_PIECE = re.compile(
    rf"(?P<open>\((?!\?)|\(\?:)|(?P<close>\)(?:{_TIMES.format('group_times')})?)|(?P<sign>[|^$])"
    rf"|(?P<atom>{_CLASS}|{_ESCAPE}|{_LITERAL})(?:{_TIMES.format('times')})?"
)
_SET_OPERATION = re.compile(r"--|&&|\|\||~~")
_ESCAPED = '"\\\n\t\x01'
"""Some characters that JSON writes as escapes."""
_MOST = 128


def holdable(pattern: str) -> bool:
    """Whether every string that the grammar of `pattern` admits matches it, and is JSON."""
    if _SET_OPERATION.search(pattern) or not _compiles(pattern):
        return False
    position, depth, repetitions, wide = 0, 0, 1, False
    while position < len(pattern):
        piece = _PIECE.match(pattern, position)
        if piece is None:
            return False
        if piece["sign"] in ("^", "$") and (depth or not _at_an_edge(pattern, position)):
            return False
        depth += (piece["open"] is not None) - (piece["close"] is not None)
        repetitions *= _repetitions(piece["times"] or piece["group_times"])
        wide = wide or any(re.match(piece["atom"] or r"\Z", char) for char in _ESCAPED)
        position = piece.end()
    return not wide or repetitions <= _MOST


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _at_an_edge(pattern: str, position: int) -> bool:
    """Whether the anchor there begins or ends an alternative."""
    if pattern[position] == "^":
        return pattern[:position].endswith("|") or position == 0
    return pattern[position + 1 :].startswith("|") or position + 1 == len(pattern)


def _repetitions(times: str | None) -> int:
    """The largest number in a quantifier, as far as it has one."""
    return max(1, *map(int, re.findall(r"\d+", times or "")), 1)

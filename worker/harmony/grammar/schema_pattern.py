"""Which regular expressions a grammar can hold a JSON string to.

Rule: the grammar ignores look-arounds, and anchors in the middle, and takes an escape of a pattern
for one of JSON's. So a pattern is holdable if it is made of plain pieces only. It must not expand
to much either: beyond, xgrammar takes another way, which lets control characters through or fails.
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
MOST_TIMES = 128
"""The largest number that a quantifier may have."""
LARGEST = 256
"""How many characters a pattern may spell out, repetitions counted.

xgrammar's compile time grows with the square: 2 s for 128 over gpt-oss's vocabulary, 10 s for 200,
31 s for 300 (two busy cores); SGLang gives up after 50 s.
"""


def holdable(pattern: str) -> bool:
    """Whether every string that the grammar of `pattern` admits matches it, and is JSON."""
    if _SET_OPERATION.search(pattern) or not _compiles(pattern):
        return False
    position, sizes = 0, [0]  # of the groups that are open, the outermost first
    while position < len(pattern):
        piece = _PIECE.match(pattern, position)
        if piece is None:
            return False
        times = _times(piece["times"] or piece["group_times"])
        if piece["open"]:
            sizes.append(0)
        elif piece["sign"] in ("^", "$") and (len(sizes) > 1 or not _at_an_edge(pattern, position)):
            return False
        elif not piece["sign"]:
            sizes[-1] += times * (sizes.pop() if piece["close"] else 1)
        if times > MOST_TIMES:
            return False
        position = piece.end()
    return sizes[0] <= LARGEST


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


def _times(quantifier: str | None) -> int:
    """The largest number in a quantifier, as far as it has one."""
    return max([1, *map(int, re.findall(r"\d+", quantifier or ""))])

"""Which regular expressions a grammar can hold a JSON string to.

Rule: the grammar ignores look-arounds, and anchors in the middle, and takes an escape of a pattern
for one of JSON's. So a pattern is holdable if it is made of plain pieces only. It must not expand
to much either.
Measured on xgrammar 0.2.7 in tests/worker/harmony/grammar/test_schema_support.py.
"""

import re
from functools import lru_cache

from worker.harmony.grammar.text_length import MARK, MOST_TIMES

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
WIDE, _NARROW, _LITERAL_SIZE = 64, 8, 1
"""What an atom costs: one that matches most characters, a class of few, a character itself."""
LARGEST = 260 * WIDE
"""How much all the patterns and least lengths of a schema, or a client's own regular expression,
may spell out, repetitions counted. A greatest length costs as much as one character.

xgrammar looks at the whole vocabulary for each character that is spelled out: 40 ms of CPU time for
a wide one over gpt-oss's, 2 to 5 for `[a-z]` or `\\w`, none for a literal. So this is 10 s at most,
1.3 s on eight threads. SGLang compiles in threads of its scheduler's process while others generate,
keeps what it compiled, and gives up after 50 s.
"""
_TOKEN = re.compile(
    r"(?P<open>\((?:\?(?:[:=!>]|<[=!]|P?<\w+>))?)|(?P<close>\))|(?P<sign>[|^$])"
    r"|(?P<atom>\[\^?\]?(?:\\.|[^\]\\])*\]|\\.|.)",
    re.DOTALL,
)
_REPEATED = re.compile(r"\{(\d+)(?:,(\d*))?\}")


def size(pattern: str) -> int:
    """How much a regular expression, of whatever dialect, spells out."""
    position, sizes = 0, [0]  # of the groups that are open, the outermost first
    while token := _TOKEN.match(pattern, position):
        times = _REPEATED.match(pattern, token.end())
        count = max(int(number) for number in times.groups("0") if number) if times else 1
        position = times.end() if times else token.end()
        if token["open"]:
            sizes.append(0)
        elif token["atom"]:
            sizes[-1] += count * _size_of(token["atom"])
        elif token["close"] and len(sizes) > 1:
            inner = sizes.pop()
            sizes[-1] += count * inner
    return sum(sizes)


@lru_cache(maxsize=1024)
def _size_of(atom: str) -> int:
    if len(atom) == 1 and atom != ".":
        return _LITERAL_SIZE
    try:
        matches = re.compile(atom, re.DOTALL | re.ASCII).fullmatch
    except re.error:
        return WIDE
    if matches("é") or (matches(" ") and matches("e")):
        return WIDE
    return _NARROW


def holdable(pattern: str) -> bool:
    """Whether every string that the grammar of `pattern` admits matches it, and is JSON."""
    if _SET_OPERATION.search(pattern) or not _compiles(pattern) or pattern.startswith(MARK):
        return False
    position, depth = 0, 0  # of the groups that are open
    while position < len(pattern):
        piece = _PIECE.match(pattern, position)
        if piece is None or _times(piece["times"] or piece["group_times"]) > MOST_TIMES:
            return False
        depth += bool(piece["open"]) - bool(piece["close"])
        if piece["sign"] in ("^", "$") and (depth or not _at_an_edge(pattern, position)):
            return False
        position = piece.end()
    return size(pattern) <= LARGEST


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

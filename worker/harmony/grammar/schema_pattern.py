"""Which regular expressions a grammar can enforce on a JSON string.

Rule: the grammar ignores look-arounds and anchors in the middle of a pattern, and takes a pattern's
escape for a JSON escape. So only a pattern made of plain pieces is enforceable, and only if it does
not expand to too many states.
Measured on xgrammar 0.2.7 in tests/worker/harmony/grammar/test_schema_support.py.
"""

import re
from functools import lru_cache

from worker.harmony.grammar.text_length import LENGTH_PREFIX, MAX_REPEAT

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
"""The cost of an atom: one that matches most characters, a small class, a literal character."""
MAX_SIZE = 260 * WIDE
"""The limit on the total cost of a schema's patterns and minimum lengths, or of a client's own
regular expression, counting repetitions. A maximum length costs as much as one wide character.

xgrammar scans the whole vocabulary for each state: with gpt-oss's vocabulary that takes 40 ms of
CPU time for a wide atom, 2 to 5 ms for `[a-z]` or `\\w`, and none for a literal. So the limit
corresponds to at most 10 s, or 1.3 s on eight threads. SGLang compiles in threads of its scheduler
process while other requests generate, caches the result, and gives up after 50 s.
"""
_TOKEN = re.compile(
    r"(?P<open>\((?:\?(?:[:=!>]|<[=!]|P?<\w+>))?)|(?P<close>\))|(?P<sign>[|^$])"
    r"|(?P<atom>\[\^?\]?(?:\\.|[^\]\\])*\]|\\.|.)",
    re.DOTALL,
)
_REPEATED = re.compile(r"\{(\d+)(?:,(\d*))?\}")


def size(pattern: str) -> int:
    """The cost of compiling a regular expression of any dialect; see `MAX_SIZE`."""
    position, sizes = 0, [0]  # one size per open group, outermost first
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


def is_enforceable(pattern: str) -> bool:
    """Whether every string that the grammar of `pattern` admits matches `pattern` and is JSON."""
    if (
        _SET_OPERATION.search(pattern)
        or not _compiles(pattern)
        or pattern.startswith(LENGTH_PREFIX)
    ):
        return False
    position, depth = 0, 0  # depth: the number of open groups
    while position < len(pattern):
        piece = _PIECE.match(pattern, position)
        if piece is None or _repeat_count(piece["times"] or piece["group_times"]) > MAX_REPEAT:
            return False
        depth += bool(piece["open"]) - bool(piece["close"])
        if piece["sign"] in ("^", "$") and (depth or not _at_an_edge(pattern, position)):
            return False
        position = piece.end()
    return size(pattern) <= MAX_SIZE


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _at_an_edge(pattern: str, position: int) -> bool:
    """Whether the anchor at `position` begins or ends an alternative."""
    if pattern[position] == "^":
        return pattern[:position].endswith("|") or position == 0
    return pattern[position + 1 :].startswith("|") or position + 1 == len(pattern)


def _repeat_count(quantifier: str | None) -> int:
    """The largest number in a quantifier; 1 if it has none."""
    return max([1, *map(int, re.findall(r"\d+", quantifier or ""))])

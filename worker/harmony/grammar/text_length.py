"""A bound on a string's length, as a pattern: how a schema tells it to whoever compiles grammars.

With `minLength` and `maxLength` themselves xgrammar admits control characters, which are not JSON.
So `schema_support` writes a pattern in their place, and `engine/bounded_strings.py` reads the
bounds off it again, to compile them faster than the pattern would be.

Rule: the pattern alone holds the bounds, however slowly. It begins with `MARK`, which matches
nothing, and no pattern of a client's that begins so is held: a `.` of theirs is no line feed.
"""

import re

MARK = "^.{0,0}"
MOST_TIMES = 128
"""The largest number that a quantifier may have: beyond, xgrammar takes another way, which lets
control characters through or fails."""
_WHOLE = re.compile(re.escape(MARK) + r"((?:\.\{\d+,\d+\})*)(\.\*)?\$")


def of_length(low: int, high: int | None) -> str:
    """A pattern of strings of `low` to `high` characters; None is any number."""
    pattern, left = MARK, (low, low if high is None else high)
    while left[1] > 0:
        least, most = (min(bound, MOST_TIMES) for bound in left)
        pattern += f".{{{least},{most}}}"
        left = left[0] - least, left[1] - most
    return pattern + ("$" if high is not None else ".*$")


def length_of(pattern: str) -> tuple[int, int | None] | None:
    """The bounds of a pattern that `of_length` made; None of any other."""
    whole = _WHOLE.fullmatch(pattern)
    if whole is None:
        return None
    bounds = [tuple(map(int, each.split(","))) for each in re.findall(r"\d+,\d+", whole[1])]
    return sum(low for low, _ in bounds), None if whole[2] else sum(high for _, high in bounds)

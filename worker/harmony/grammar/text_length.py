"""A bound on a string's length, encoded as a pattern in the schema that is given to xgrammar.

Given `minLength` and `maxLength` themselves, xgrammar admits control characters, which are invalid
in JSON. So `schema_support` replaces them with a pattern, and `engine/bounded_strings.py` parses
the bounds out of the pattern again to compile them faster than the pattern itself.

Rule: the pattern alone enforces the bounds, if slowly. It begins with `LENGTH_PREFIX`, which
matches the empty string; a client's pattern with that prefix is not enforced, since a `.` in it
does not match a line feed.
"""

import re

LENGTH_PREFIX = "^.{0,0}"
MAX_REPEAT = 128
"""The largest number in a quantifier. Beyond it, xgrammar uses another algorithm, which admits
control characters or fails."""
_WHOLE = re.compile(re.escape(LENGTH_PREFIX) + r"((?:\.\{\d+,\d+\})*)(\.\*)?\$")


def length_pattern(low: int, high: int | None) -> str:
    """A pattern for strings of `low` to `high` characters; None means no upper bound."""
    pattern, left = LENGTH_PREFIX, (low, low if high is None else high)
    while left[1] > 0:
        least, most = (min(bound, MAX_REPEAT) for bound in left)
        pattern += f".{{{least},{most}}}"
        left = left[0] - least, left[1] - most
    return pattern + ("$" if high is not None else ".*$")


def length_bounds(pattern: str) -> tuple[int, int | None] | None:
    """The bounds in a pattern made by `length_pattern`; None for any other pattern."""
    whole = _WHOLE.fullmatch(pattern)
    if whole is None:
        return None
    bounds = [tuple(map(int, each.split(","))) for each in re.findall(r"\d+,\d+", whole[1])]
    return sum(low for low, _ in bounds), None if whole[2] else sum(high for _, high in bounds)

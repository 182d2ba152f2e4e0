"""Grammar rules for JSON strings of bounded length that are cheap to compile and to match.

xgrammar precomputes the allowed tokens for each grammar state over the whole vocabulary, which
takes 20 to 40 ms of CPU time for a state that allows any character. A string of up to 500
characters has 500 such states. Built from repeated pieces it has few, but then each mask takes
70 ms, because every token of several characters may cross the end of a piece and must be checked
when the mask is computed. So:

Rules: strings are unrolled, one state per character, shortest bound first, while a schema's
unrolled strings take `MAX_UNROLLED_STATES` states or fewer together. Longer strings are counted:
any number of characters, with a limit (`max_chars`) that xgrammar checks while matching. It counts
the letters of an escape (`\\n` is two, `\\u00e9` six), so a counted string may end up shorter than
its limit, but never longer. The minimum length is always unrolled. Escaped UTF-16 surrogates
(`\\ud83d`) are never generated, alone or as a pair: such characters are generated unescaped.
A counted string takes 0.05 s to compile, whatever its limit, which is little next to the rest.
A mask within a counted string takes 1 ms, plus 3 ms for every 1,000 characters that the matcher has
read so far; in the last ten characters before the limit it takes up to 50 ms.
Source: EBNF as xgrammar 0.2.7 parses and prints it.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable

from xgrammar import Grammar

from worker.harmony.grammar import LENGTH_PREFIX, Format, length_bounds

Length = tuple[int, int | None]

MAX_UNROLLED_STATES = 48
"""Per schema. They take up to 2 s of CPU time, spread over all threads."""
_MAX_REPEAT = 128
_ESCAPED = r'["\\/bfnrt]|u(?:[0-9a-cA-CeEfF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2})'
_CHARACTER = rf'(?:[^"\\\x00-\x1f]|\\(?:{_ESCAPED}))'
"""A character of a JSON string, except for escaped UTF-16 surrogates."""
_RULE = re.compile(r'^(\w+) ::= Regex\("((?:[^"\\]|\\.)*)", json_string=true\)', re.MULTILINE)


def with_bounded_strings(tag: str) -> str:
    """Replaces schemas with bounded strings in a structural tag by grammars with these rules."""
    if LENGTH_PREFIX not in tag:
        return tag
    whole = json.loads(tag)
    return json.dumps({**whole, "format": _rewritten(whole["format"])})


def _rewritten(part: Format) -> Format:
    if part["type"] == "json_schema":
        return _counted(part)
    parts = dict(part)
    if "content" in part:
        parts["content"] = _rewritten(part["content"])
    if "elements" in part:
        parts["elements"] = [_rewritten(each) for each in part["elements"]]
    return parts


def _counted(schema: Format) -> Format:
    """A format that accepts the same as `schema`; `schema` itself if it has no bounded strings."""
    tag = {"type": "structural_tag", "format": schema}
    text = str(Grammar.from_structural_tag(json.dumps(tag)))
    bounds = [length for _, pattern in _RULE.findall(text) if (length := length_bounds(pattern))]
    if not bounds:
        return schema
    unrolled = _unrolled(bounds)

    def rule(found: re.Match[str]) -> str:
        length = length_bounds(found[2])
        return found[0] if length is None else _rule(found[1], length, length in unrolled)

    return {"type": "grammar", "grammar": _RULE.sub(rule, text)}


def _unrolled(bounds: Iterable[Length]) -> set[Length]:
    """The bounds of the strings to unroll."""
    chosen, left = set[Length](), MAX_UNROLLED_STATES
    for (low, high), count in sorted(
        Counter(bounds).items(), key=lambda found: found[0][1] or found[0][0]
    ):
        left -= count * (low if high is None else high)
        if left >= 0:
            chosen.add((low, high))
    return chosen


def _rule(name: str, length: Length, unrolled: bool) -> str:
    low, high = length
    if high is None or not unrolled:
        pattern = _times(low, low) + f"{_CHARACTER}*"
    else:
        pattern = _times(low, high)
    budget = "" if high is None or unrolled else f"[max_chars={high}]"
    return f"{name}{budget} ::= Regex({json.dumps(pattern)})"


def _times(low: int, high: int) -> str:
    """A pattern for `low` to `high` characters."""
    pieces = ""
    while high > 0:
        least, most = min(low, _MAX_REPEAT), min(high, _MAX_REPEAT)
        pieces += f"{_CHARACTER}{{{least},{most}}}"
        low, high = low - least, high - most
    return pieces

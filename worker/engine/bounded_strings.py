"""Strings of a bounded length, compiled in a moment and held at next to no cost.

xgrammar computes what may follow for each state of a grammar over the whole vocabulary, 20 to
40 ms of CPU time for one in which any character may come. A pattern of 500 characters has 500 such
states; cut into repeated pieces it has few, but then each mask takes 70 ms, as every token of
several characters may run over the end of a piece, and is tried when the mask is made. So:

Rules: strings are spelled out, a state for each character, as long as all of a schema that are take
`SPELLED` states, the shortest first. Longer ones are counted: any number of characters, within a
budget (`max_chars`) that xgrammar keeps while it matches. It counts an escape by its letters (`\\n`
is two, `\\u00e9` six), so that such a string may be held to less than its bound, never to more. The
least length is spelled out always. Half of a character (`\\ud83d`) is not written, nor are its two
halves: the character is.
Each counted string takes 0.05 s to compile, whatever its bound: it is little beside the rest.
A mask within a counted string takes 1 ms, and 3 ms more for each 1,000 characters that the matcher
has read by then; in the last ten characters before the bound it takes up to 50 ms.
Source: EBNF as xgrammar 0.2.7 reads and prints it.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from xgrammar import Grammar

from worker.harmony.grammar import LENGTH_PREFIX, length_bounds

Format = dict[str, Any]
Length = tuple[int, int | None]

SPELLED = 48
"""How many characters are spelled out: up to 2 s of CPU time, on as many threads as there are."""
_MAX_REPEAT = 128
_ESCAPED = r'["\\/bfnrt]|u(?:[0-9a-cA-CeEfF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2})'
_CHARACTER = rf'(?:[^"\\\x00-\x1f]|\\(?:{_ESCAPED}))'
"""Of a string of JSON, but for the halves of one that UTF-16 has in two."""
_RULE = re.compile(r'^(\w+) ::= Regex\("((?:[^"\\]|\\.)*)", json_string=true\)', re.MULTILINE)


def with_bounded_strings(tag: str) -> str:
    """A structural tag in which schemas with bounded strings are grammars that count them."""
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
    """A format that admits what `schema` does; itself where no string of it is bounded."""
    tag = {"type": "structural_tag", "format": schema}
    text = str(Grammar.from_structural_tag(json.dumps(tag)))
    bounds = [length for _, pattern in _RULE.findall(text) if (length := length_bounds(pattern))]
    if not bounds:
        return schema
    spelled = _spelled(bounds)

    def rule(found: re.Match[str]) -> str:
        length = length_bounds(found[2])
        return found[0] if length is None else _rule(found[1], length, length in spelled)

    return {"type": "grammar", "grammar": _RULE.sub(rule, text)}


def _spelled(bounds: Iterable[Length]) -> set[Length]:
    """Those of the bounds that are spelled out."""
    chosen, left = set[Length](), SPELLED
    for (low, high), count in sorted(
        Counter(bounds).items(), key=lambda found: found[0][1] or found[0][0]
    ):
        left -= count * (low if high is None else high)
        if left >= 0:
            chosen.add((low, high))
    return chosen


def _rule(name: str, length: Length, spelled: bool) -> str:
    low, high = length
    if high is None or not spelled:
        pattern = _times(low, low) + f"{_CHARACTER}*"
    else:
        pattern = _times(low, high)
    budget = "" if high is None or spelled else f"[max_chars={high}]"
    return f"{name}{budget} ::= Regex({json.dumps(pattern)})"


def _times(low: int, high: int) -> str:
    """`low` to `high` characters."""
    pieces = ""
    while high > 0:
        least, most = min(low, _MAX_REPEAT), min(high, _MAX_REPEAT)
        pieces += f"{_CHARACTER}{{{least},{most}}}"
        low, high = low - least, high - most
    return pieces

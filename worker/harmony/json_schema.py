"""JSON schemas with their local references resolved.

Rule: neither a prompt nor a TypeScript type can hold an endless schema. One that refers to itself
is cut at the second round; one that unfolds to more than `MOST_VALUES`, or deeper than `DEEPEST`,
is cut the higher up, the more it takes. What no reference is to blame for is refused instead.
"""

from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from worker.errors import BadRequest

Json = Any  # A JSON value from outside.

MOST_VALUES, MOST_TOGETHER = 10_000, 100_000
"""That come from a schema's references, and from all of a request's; each is a token or so."""
DEEPEST = 100
"""Objects, lists and references within each other; `openai_harmony`'s JSON reader gives up at 127
objects and lists."""

_DEFINITIONS = ("$defs", "definitions")
_CUTS = (DEEPEST, 40, 20, 12, 8, 4, 0)
"""Levels below which no reference is followed, until what unfolds is small enough."""


class Unfolding:
    """Of the schemas of one request."""

    def __init__(self) -> None:
        self._left = MOST_TOGETHER

    def inlined(self, schema: Json) -> Json:
        """`schema` with every local `$ref` (`#/…`) replaced by what it names.

        Keywords beside a `$ref` win over those of its target (JSON Schema 2020-12). A reference
        that cannot be resolved, that is being resolved already, or that is cut becomes `{}`:
        anything. Raises BadRequest if `schema` is too deep without its references.
        """
        for cut in _CUTS:
            attempt = _Attempt(schema, min(self._left, MOST_VALUES), cut)
            with suppress(_TooLarge):
                whole = attempt.schema(schema, 0, ())
                self._left -= attempt.values
                return whole
        raise BadRequest(f"tools: a schema of more than {DEEPEST} levels.", param="tools")


class _TooLarge(Exception):
    """What unfolds."""


class _Attempt:
    """One schema, with references followed down to a level."""

    def __init__(self, root: Json, most: int, cut: int) -> None:
        self.values = 0
        self._root, self._most, self._cut = root, most, cut

    def schema(self, node: Json, level: int, refs: tuple[str, ...]) -> Json:
        """`node`, found within `refs` that are being resolved. Raises _TooLarge."""
        self.values += bool(refs)
        if self.values > self._most or level > DEEPEST:
            raise _TooLarge
        if isinstance(node, list):
            return [self.schema(item, level + 1, refs) for item in node]
        if not isinstance(node, dict):
            return node
        own = {k: v for k, v in node.items() if k not in _DEFINITIONS}
        ref = own.pop("$ref", None)
        own = {
            k: (self._named if k == "properties" else self.schema)(v, level + 1, refs)
            for k, v in own.items()
        }
        if not isinstance(ref, str) or ref in refs or level >= self._cut:
            return own
        whole = self.schema(_resolve(ref, self._root), level + 1, (*refs, ref))
        return {**whole, **own} if isinstance(whole, dict) else own

    def _named(self, node: Json, level: int, refs: tuple[str, ...]) -> Json:
        """Properties, whose names may be any keyword's."""
        if not isinstance(node, dict):
            return self.schema(node, level, refs)
        return {name: self.schema(item, level + 1, refs) for name, item in node.items()}


def _resolve(ref: str, root: Json) -> Json:
    """What a JSON pointer (RFC 6901, as a URI fragment) names in `root`; `{}` if nothing."""
    node = root
    if not ref.startswith("#"):
        return {}
    for part in unquote(ref[1:]).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(node, dict) or key not in node:
            return {}
        node = node[key]
    return node

"""JSON schemas with their references inlined.

Rule: a reference is replaced by its target, combined with the keywords beside it (JSON Schema
2020-12: both apply). Neither a prompt nor a TypeScript type can contain an infinite schema, so a
recursive reference is left in place the second time. A schema that expands to more than
`MAX_VALUES`, or deeper than `MAX_DEPTH`, is inlined to fewer levels, the larger the
expansion. A reference that is not followed stays a `$ref`.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from itertools import chain
from typing import NamedTuple
from urllib.parse import unquote, urljoin

from worker.json_depth import MAX_DEPTH, Json

MAX_VALUES, MAX_TOTAL_VALUES = 10_000, 100_000
"""Limits on the JSON values that references add, per schema and per request. Each value is about
one token."""
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_ANCHORS = ("$anchor", "$dynamicAnchor")
_DEFINITIONS = ("$defs", "definitions")
_NAMED = frozenset({"dependencies", "dependentSchemas", "patternProperties", "properties"})
"""Keywords whose value maps names to schemas; a name may look like a keyword."""
_VALUES = frozenset({"const", "default", "enum", "example", "examples", "required"})
"""Keywords whose values are not schemas."""
_LEVEL_LIMITS = (MAX_DEPTH, 40, 20, 12, 8, 4)
"""The levels down to which references are followed, tried in turn until the expansion is small
enough."""


class RefInliner:
    """Inlines the references in the schemas of one request, within a common limit."""

    def __init__(self) -> None:
        self._left = MAX_TOTAL_VALUES

    def inline(self, schema: Json) -> Json:
        """`schema`, of at most `MAX_DEPTH` levels, with every reference replaced by its target.

        Keywords beside a reference are combined with the target by `allOf`. A reference that cannot
        be resolved, that is recursive, or that lies too deep stays as it is.
        """
        for cut in _LEVEL_LIMITS:
            attempt = _Attempt(schema, min(self._left, MAX_VALUES), cut)
            with suppress(_TooLarge):
                whole = attempt.schema(schema, _Place(schema))
                self._left -= attempt.values
                return whole
        return _Attempt(schema, 0, 0).schema(schema, _Place(schema))


class _TooLarge(Exception):
    """Raised when a schema expands to too many values or too many levels."""


class _Place(NamedTuple):
    """The location of a schema: its document, its level, and the references that led to it."""

    document: Json
    level: int = 0
    refs: tuple[tuple[int, str], ...] = ()

    def below(self) -> "_Place":
        return self._replace(level=self.level + 1)

    def within(self, ref: str) -> "_Place":
        return self._replace(level=self.level + 1, refs=(*self.refs, self.key(ref)))

    def key(self, ref: str) -> tuple[int, str]:
        """`ref` qualified by its document: `#/a` has another target in another document."""
        return id(self.document), ref


class _Attempt:
    """One attempt to inline a schema, following references down to a given level."""

    def __init__(self, root: Json, most: int, cut: int) -> None:
        self.values = 0
        self._root, self._max_values, self._max_level = root, most, cut

    def schema(self, node: Json, place: _Place) -> Json:
        """`node` with references inlined. Raises _TooLarge."""
        self._count(1 + (len(node) // 8 if isinstance(node, str) else 0), place)
        if isinstance(node, list):
            return [self.schema(item, place.below()) for item in node]
        if not isinstance(node, dict):
            return node
        if _id(node) and place.level:
            place = place._replace(document=node)
        own = {k: self._part(k, v, place.below()) for k, v in node.items() if k not in _DEFINITIONS}
        for keyword in REFERENCES:
            target = self._target(own.get(keyword), place)
            if target is not None:
                own = _both({k: v for k, v in own.items() if k != keyword}, target)
                if not isinstance(own, dict):
                    return own
        return own

    def _part(self, key: str, value: Json, place: _Place) -> Json:
        if key in REFERENCES:
            return value
        if key in _VALUES:
            for item in _inside(value) if place.refs else ():
                self._count(1 + (len(item) // 8 if isinstance(item, str) else 0), place)
            return value
        if key in _NAMED and isinstance(value, dict):
            self._count(sum(map(len, value)) // 8, place)
            return {name: self.schema(item, place.below()) for name, item in value.items()}
        return self.schema(value, place)

    def _count(self, tokens: int, place: _Place) -> None:
        if place.refs:
            self.values += tokens
            if self.values > self._max_values or place.level > MAX_DEPTH:
                raise _TooLarge

    def _target(self, ref: Json, place: _Place) -> Json | None:
        """The target of `ref`, with references inlined; None if it is not followed."""
        if (
            not isinstance(ref, str)
            or place.key(ref) in place.refs
            or place.level >= self._max_level
        ):
            return None
        found, document = self._names.resolved(ref, place.document)
        inner = place.within(ref)._replace(document=document)
        return None if found is None else self.schema(found, inner)

    @cached_property
    def _names(self) -> "_Names":
        return _Names(self._root)


class _Names:
    """The parts of a schema that have a name: an `$id` (or `id`) or an `$anchor`."""

    def __init__(self, root: Json) -> None:
        self._root = root
        self._base = _id(root)
        self._by_name: dict[str, Json] = {}
        for node in _inside(root):
            for name in filter(None, (_text(node, key) for key in _ANCHORS)):
                self._by_name.setdefault(f"#{name}", node)
            if name := _id(node).removesuffix("#"):
                self._by_name.setdefault(name, node)
                self._by_name.setdefault(_joined(self._base, name), node)

    def resolved(self, ref: str, document: Json) -> tuple[Json | None, Json]:
        """The target of `ref` as seen from `document` (None if there is none), and its document."""
        name, _, fragment = ref.partition("#")
        documents = [document, self._root]
        if name:
            documents = [self._by_name.get(n) for n in (name, _joined(self._base, name))]
        if fragment and not fragment.startswith("/"):
            return self._by_name.get(f"#{fragment}"), document
        found = ((_pointed(fragment, part), part) for part in documents if part is not None)
        return next((pair for pair in found if pair[0] is not None), (None, document))


def _pointed(pointer: str, document: Json) -> Json | None:
    """The target of a JSON pointer (RFC 6901, as a URI fragment) in `document`, or None."""
    node = document
    for part in unquote(pointer).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and key in map(str, range(len(node))):
            node = node[int(key)]
        elif isinstance(node, dict) and key in node:
            node = node[key]
        else:
            return None
    return node


def _joined(base: str, name: str) -> str:
    """`name` resolved as a URL relative to `base`, or unchanged if it is not a URL."""
    try:
        return urljoin(base, name)
    except ValueError:  # `http://[`
        return name


def _both(own: Mapping[str, Json], target: Json) -> Json:
    """The keywords beside a reference and its target, as one schema."""
    if not own:
        return target
    combined = own.get("allOf")
    return {**own, "allOf": [*(combined if isinstance(combined, list) else ()), target]}


def _inside(value: Json) -> Iterator[Json]:
    """`value` and every JSON value nested in it."""
    yield value
    if isinstance(value, dict):
        yield from chain.from_iterable(map(_inside, value.values()))
    elif isinstance(value, list):
        yield from chain.from_iterable(map(_inside, value))


def _id(node: Json) -> str:
    """The `$id` of a schema; draft 4 calls it `id`."""
    return _text(node, "$id") or _text(node, "id")


def _text(node: Json, key: str) -> str:
    value = node.get(key) if isinstance(node, dict) else None
    return value if isinstance(value, str) else ""

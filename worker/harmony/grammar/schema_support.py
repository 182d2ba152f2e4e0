"""Which JSON schemas a grammar can hold a completion to, and how they are told to the grammar.

Rule: a keyword is expressible only if whatever the grammar admits is valid by it; the grammar may
admit less (an optional property that is never written harms nobody). What is malformed is not
expressible either. Measured on xgrammar 0.2.7, keyword by keyword and by random walks through its
grammars, in its tests. Two things no grammar rules out: a calendar date like 02-30, and a further
property whose name is a declared one in escapes.
"""

from collections.abc import Iterator, Mapping
from itertools import chain, combinations
from typing import NamedTuple

from worker.harmony.grammar.schema_bounds import binds, enumerates
from worker.harmony.grammar.schema_pattern import LARGEST, WIDE, size
from worker.harmony.grammar.schema_words import (
    ANNOTATIONS,
    FORMATS,
    LISTS,
    MAPS,
    SCHEMAS,
    TYPES,
    UNHELD,
    Json,
    Schema,
    as_list,
    inner_schemas,
    types_of,
    values_of,
    well_formed,
)
from worker.harmony.grammar.text_length import of_length
from worker.json_depth import DEEPEST

_MOST_VARIANTS = 100
"""Of a `oneOf`: each is compared with each."""
_Scalar = str | int | float | None


class Unsupported(NamedTuple):
    """A keyword that the grammar cannot express, and where it stands (a JSON pointer)."""

    keyword: str
    path: str


def unsupported(schema: Json) -> Unsupported | None:
    """The first keyword of `schema` that the grammar cannot express, or None."""
    return next(_Search(schema).problems(schema, "", 0), None)


def as_held(schema: Json) -> Json:
    """An expressible `schema` as the grammar reads it right.

    A bound on a string's length becomes a pattern. A format that it does not know is dropped.
    """
    if not isinstance(schema, Mapping):
        return schema
    held = {keyword: _held_part(keyword, value) for keyword, value in schema.items()}
    if held.get("format") not in FORMATS:
        held.pop("format", None)
    low, high = held.pop("minLength", 0), held.pop("maxLength", None)
    if (low or high is not None) and "string" in types_of(schema):
        held["pattern"] = of_length(low, high)
    return held


def _held_part(keyword: str, value: Json) -> Json:
    if keyword in SCHEMAS:
        return as_held(value)
    if keyword in LISTS:
        return [as_held(item) for item in value]
    if keyword in MAPS:
        return {name: as_held(item) for name, item in value.items()}
    return value


class _Search:
    """Looks through one schema, its `$ref`s included."""

    def __init__(self, root: Json) -> None:
        self._root = root
        self._followed: set[str] = set()
        self._sized: set[int] = set()
        self._size = 0

    def problems(self, schema: Json, path: str, depth: int) -> Iterator[Unsupported]:
        if not isinstance(schema, Mapping):
            if schema is not True:
                yield Unsupported(
                    "false" if schema is False else path.rsplit("/", maxsplit=1)[-1], path
                )
            return
        if depth > DEEPEST:
            yield Unsupported(path.rsplit("/", maxsplit=1)[-1], path)
            return
        malformed = (k for k in schema if not well_formed(k, schema[k]))
        unheld = (k for k in schema if not self._expressible(k, schema, nested=depth > 0))
        for keyword in chain(malformed, unheld, self._too_large(schema)):
            yield Unsupported(keyword, f"{path}/{keyword}")
            return
        for place, inner in inner_schemas(schema):
            yield from self.problems(inner, f"{path}/{place}", depth + 1)
        reference = schema.get("$ref")
        if reference is not None and reference not in self._followed:
            self._followed.add(reference)
            yield from self.problems(self._target(reference), reference[1:], depth + 1)

    def _too_large(self, schema: Schema) -> Iterator[str]:
        """The keyword with which the schema spells out more than can be compiled, if it does."""
        bounds = (keyword for keyword in ("pattern", "minLength", "maxLength") if keyword in schema)
        bound = next(bounds, None)
        if bound is None or id(schema) in self._sized or "string" not in types_of(schema):
            return
        self._sized.add(id(schema))  # a definition is compiled once
        pattern, least = schema.get("pattern"), schema.get("minLength", 0)
        self._size += (least + 1) * WIDE if pattern is None else size(pattern)
        if self._size > LARGEST:
            yield bound

    def _target(self, reference: str) -> Json | None:
        """What a reference into this schema points at, or None if the grammar cannot follow it."""
        target = self._root
        head, *names = reference.split("/")
        if head != "#" or "~" in reference or "%" in reference:
            return None
        in_map = False
        for name in names:
            if not isinstance(target, Mapping) or not (in_map or name in MAPS + SCHEMAS):
                return None
            target = target.get(name)
            in_map = not in_map and name in MAPS
        return None if in_map else target

    def _expressible(self, keyword: str, schema: Schema, *, nested: bool) -> bool:
        """Of a schema whose keywords are all well-formed."""
        value, alone = schema[keyword], not schema.keys() - ANNOTATIONS - {keyword}
        if {"enum", "const"} & schema.keys() and keyword not in ANNOTATIONS:
            return enumerates(keyword, schema)
        match keyword:
            case "$id":
                return not nested
            case "uniqueItems":
                return not value
            case "allOf":
                return alone and len(value) == 1
            case "anyOf":
                return alone and len(value) > 0
            case "oneOf":
                return alone and len(value) > 0 and self._disjoint(value)
            case "$ref":
                return alone and self._target(value) is not None
            case "type":
                return bool(types_of(schema)) and types_of(schema) <= TYPES.keys()
            case _:
                return keyword not in UNHELD and binds(keyword, schema)

    def _disjoint(self, variants: list[Json]) -> bool:
        """Whether no value can be two of `variants` at once, as `oneOf` asks."""
        if len(variants) > _MOST_VARIANTS:
            return False
        return all(_apart(a, b) for a, b in combinations(map(self._resolved, variants), 2))

    def _resolved(self, schema: Json) -> Json:
        reference = schema.get("$ref") if isinstance(schema, Mapping) else None
        return self._target(reference) if isinstance(reference, str) else schema


def _apart(a: Json, b: Json) -> bool:
    if not isinstance(a, Mapping) or not isinstance(b, Mapping):
        return False
    if (
        types_of(a)
        and types_of(b)
        and not _with_integers(types_of(a)) & _with_integers(types_of(b))
    ):
        return True
    if _told_apart(values_of(a), values_of(b)):
        return True
    shared = _required(a) & _required(b)
    return any(_told_apart(_property_values(a, n), _property_values(b, n)) for n in shared)


def _told_apart(left: list[Json], right: list[Json]) -> bool:
    if not left or not right or not all(isinstance(v, _Scalar) for v in left + right):
        return False
    return not set(left) & set(right)


def _required(schema: Schema) -> set[str]:
    return {name for name in as_list(schema.get("required")) if isinstance(name, str)}


def _property_values(schema: Schema, name: str) -> list[Json]:
    """The values that a required property can have, where they are listed."""
    properties = schema.get("properties")
    found = properties.get(name) if isinstance(properties, Mapping) else None
    return values_of(found) if isinstance(found, Mapping) else []


def _with_integers(types: set[str]) -> set[str]:
    return types | {"integer"} if "number" in types else types

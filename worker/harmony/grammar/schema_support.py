"""Which JSON schemas a grammar can enforce on a completion, and how they are given to xgrammar.

Rule: a keyword is enforceable only if everything that the grammar admits is valid under it. The
grammar may admit less (it is harmless if an optional property is never written). A malformed
keyword is not enforceable either. Measured on xgrammar 0.2.7 in the tests, keyword by keyword and
by random walks through its grammars. Two things no grammar rules out: an impossible date such as
02-30, and an additional property whose name is a declared one written with escapes.
"""

from collections.abc import Iterator, Mapping
from itertools import chain, combinations
from typing import NamedTuple

from worker.harmony.grammar.schema_bounds import is_enforced, is_enforced_with_enum
from worker.harmony.grammar.schema_keywords import (
    ANNOTATIONS,
    FORMATS,
    LISTS,
    MAPS,
    SCHEMAS,
    TYPES,
    UNENFORCED,
    Json,
    Schema,
    as_list,
    inner_schemas,
    types_of,
    values_of,
    well_formed,
)
from worker.harmony.grammar.schema_pattern import MAX_SIZE, WIDE, size
from worker.harmony.grammar.text_length import length_pattern
from worker.json_depth import MAX_DEPTH

_MAX_VARIANTS = 100
"""The most variants of a `oneOf`: every pair is compared."""
_Scalar = str | int | float | None


class Unsupported(NamedTuple):
    """A keyword that the grammar cannot enforce, and its location (a JSON pointer)."""

    keyword: str
    path: str


def unsupported(schema: Json) -> Unsupported | None:
    """The first keyword of `schema` that the grammar cannot enforce, or None."""
    return next(_Search(schema).problems(schema, "", 0), None)


def for_xgrammar(schema: Json) -> Json:
    """An enforceable `schema`, rewritten so that xgrammar interprets it correctly.

    A bound on a string's length becomes a pattern. A format that xgrammar does not know is dropped.
    """
    if not isinstance(schema, Mapping):
        return schema
    rewritten = {keyword: _part_for_xgrammar(keyword, value) for keyword, value in schema.items()}
    if rewritten.get("format") not in FORMATS:
        rewritten.pop("format", None)
    low, high = rewritten.pop("minLength", 0), rewritten.pop("maxLength", None)
    if (low or high is not None) and "string" in types_of(schema):
        rewritten["pattern"] = length_pattern(low, high)
    return rewritten


def _part_for_xgrammar(keyword: str, value: Json) -> Json:
    if keyword in SCHEMAS:
        return for_xgrammar(value)
    if keyword in LISTS:
        return [for_xgrammar(item) for item in value]
    if keyword in MAPS:
        return {name: for_xgrammar(item) for name, item in value.items()}
    return value


class _Search:
    """A search through one schema, following its `$ref`s."""

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
        if depth > MAX_DEPTH:
            yield Unsupported(path.rsplit("/", maxsplit=1)[-1], path)
            return
        malformed = (k for k in schema if not well_formed(k, schema[k]))
        unenforced = (k for k in schema if not self._is_enforceable(k, schema, nested=depth > 0))
        for keyword in chain(malformed, unenforced, self._too_large(schema)):
            yield Unsupported(keyword, f"{path}/{keyword}")
            return
        for place, inner in inner_schemas(schema):
            yield from self.problems(inner, f"{path}/{place}", depth + 1)
        reference = schema.get("$ref")
        if reference is not None and reference not in self._followed:
            self._followed.add(reference)
            yield from self.problems(self._target(reference), reference[1:], depth + 1)

    def _too_large(self, schema: Schema) -> Iterator[str]:
        """The keyword at which the schema exceeds `MAX_SIZE`, if it does."""
        bounds = (keyword for keyword in ("pattern", "minLength", "maxLength") if keyword in schema)
        bound = next(bounds, None)
        if bound is None or id(schema) in self._sized or "string" not in types_of(schema):
            return
        self._sized.add(id(schema))  # a definition is compiled once
        pattern, least = schema.get("pattern"), schema.get("minLength", 0)
        self._size += (least + 1) * WIDE if pattern is None else size(pattern)
        if self._size > MAX_SIZE:
            yield bound

    def _target(self, reference: str) -> Json | None:
        """The target of a reference into this schema, or None if the grammar cannot follow it."""
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

    def _is_enforceable(self, keyword: str, schema: Schema, *, nested: bool) -> bool:
        """Whether the grammar enforces `keyword`; all keywords of `schema` must be well-formed."""
        value, alone = schema[keyword], not schema.keys() - ANNOTATIONS - {keyword}
        if {"enum", "const"} & schema.keys() and keyword not in ANNOTATIONS:
            return is_enforced_with_enum(keyword, schema)
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
                return keyword not in UNENFORCED and is_enforced(keyword, schema)

    def _disjoint(self, variants: list[Json]) -> bool:
        """Whether no value can match two of `variants` at once, as `oneOf` requires."""
        if len(variants) > _MAX_VARIANTS:
            return False
        return all(_are_disjoint(a, b) for a, b in combinations(map(self._resolved, variants), 2))

    def _resolved(self, schema: Json) -> Json:
        reference = schema.get("$ref") if isinstance(schema, Mapping) else None
        return self._target(reference) if isinstance(reference, str) else schema


def _are_disjoint(a: Json, b: Json) -> bool:
    if not isinstance(a, Mapping) or not isinstance(b, Mapping):
        return False
    if (
        types_of(a)
        and types_of(b)
        and not _with_integers(types_of(a)) & _with_integers(types_of(b))
    ):
        return True
    if _have_no_value_in_common(values_of(a), values_of(b)):
        return True
    shared = _required(a) & _required(b)
    return any(
        _have_no_value_in_common(_property_values(a, n), _property_values(b, n)) for n in shared
    )


def _have_no_value_in_common(left: list[Json], right: list[Json]) -> bool:
    if not left or not right or not all(isinstance(v, _Scalar) for v in left + right):
        return False
    return not set(left) & set(right)


def _required(schema: Schema) -> set[str]:
    return {name for name in as_list(schema.get("required")) if isinstance(name, str)}


def _property_values(schema: Schema, name: str) -> list[Json]:
    """The values that a required property can have, if the schema lists them."""
    properties = schema.get("properties")
    found = properties.get(name) if isinstance(properties, Mapping) else None
    return values_of(found) if isinstance(found, Mapping) else []


def _with_integers(types: set[str]) -> set[str]:
    return types | {"integer"} if "number" in types else types

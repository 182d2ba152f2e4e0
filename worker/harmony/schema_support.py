"""Which JSON schemas a grammar can hold a completion to.

Rule: a keyword is expressible only if whatever the grammar admits is valid by it; the grammar may
admit less (an optional property that is never written harms nobody). Measured on xgrammar 0.2.7,
keyword by keyword, in tests/test_schema_support.py.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

Json = Any  # A JSON schema of the client's.

_UNHELD = frozenset(
    {
        "contains",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "maxContains",
        "minContains",
        "not",
        "patternProperties",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
"""Keywords that the grammar ignores or reads otherwise."""

_ANNOTATIONS = frozenset(
    {"$comment", "$defs", "$id", "$schema", "default", "definitions", "deprecated", "description"}
) | {"examples", "nullable", "readOnly", "strict", "title", "writeOnly"}
_SCHEMAS = ("additionalProperties", "items", "propertyNames")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS = ("properties", "$defs", "definitions")


class Unsupported(NamedTuple):
    """A keyword that the grammar cannot express, and where it stands (a JSON pointer)."""

    keyword: str
    path: str


def unsupported(schema: Json, path: str = "") -> Unsupported | None:
    """The first keyword of `schema` that the grammar cannot express, or None."""
    return next(_problems(schema, path), None)


def _problems(schema: Json, path: str) -> Iterator[Unsupported]:
    if schema is False:
        yield Unsupported("false", path)
    if not isinstance(schema, Mapping):
        return
    for keyword in schema:
        if not _expressible(keyword, schema):
            yield Unsupported(keyword, f"{path}/{keyword}")
    for place, inner in _inner_schemas(schema):
        yield from _problems(inner, f"{path}/{place}")


def _inner_schemas(schema: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    """The schemas that `schema` is made of, each with its place in it."""
    for keyword in _SCHEMAS:
        if schema.get(keyword) is not False:
            yield keyword, schema.get(keyword)
    for keyword in _LISTS:
        for index, item in enumerate(schema.get(keyword) or ()):
            yield f"{keyword}/{index}", item
    for keyword in _MAPS:
        for name, item in (schema.get(keyword) or {}).items():
            yield f"{keyword}/{name}", item


def _expressible(keyword: str, schema: Mapping[str, Json]) -> bool:
    alone = not schema.keys() - _ANNOTATIONS - {keyword}
    match keyword:
        case "uniqueItems":
            return not schema[keyword]
        case "allOf":
            return alone and len(schema[keyword]) == 1
        case "anyOf":
            return alone
        case "oneOf":
            return alone and _disjoint(schema[keyword])
        case "$ref":
            return alone and str(schema[keyword]).startswith("#")
        case "minLength" | "maxLength":
            return "pattern" not in schema and "format" not in schema
        case "multipleOf":
            return schema.get("type") == "integer"
        case _:
            return keyword not in _UNHELD


def _disjoint(variants: list[Json]) -> bool:
    """Whether no value can be two of `variants` at once, as `oneOf` asks."""
    return all(_apart(a, b) for a, b in combinations(variants, 2))


def _apart(a: Json, b: Json) -> bool:
    if not isinstance(a, Mapping) or not isinstance(b, Mapping):
        return False
    if _types(a) and _types(b) and not _types(a) & _types(b):
        return True
    shared = set(a.get("required") or ()) & set(b.get("required") or ())
    return any(_values_apart(a, b, name) for name in shared)


def _types(schema: Mapping[str, Json]) -> set[str]:
    named = schema.get("type") or []
    types: set[str] = {named} if isinstance(named, str) else set(named)
    return types | {"integer"} if "number" in types else types


def _values_apart(a: Mapping[str, Json], b: Mapping[str, Json], name: str) -> bool:
    """Whether a required property tells the two apart by its fixed values."""
    left, right = (_values((s.get("properties") or {}).get(name)) for s in (a, b))
    return bool(left) and bool(right) and not any(value in right for value in left)


def _values(schema: Json) -> list[Json]:
    if not isinstance(schema, Mapping):
        return []
    return [schema["const"]] if "const" in schema else list(schema.get("enum") or ())

"""Which JSON schemas a grammar can hold a completion to, and how they are told to the grammar.

Rule: a keyword is expressible only if whatever the grammar admits is valid by it; the grammar may
admit less (an optional property that is never written harms nobody). What is malformed is not
expressible either. Measured on xgrammar 0.2.7, keyword by keyword and by random walks through its
grammars, in tests/test_schema_support.py. Two things no grammar rules out: a calendar date like
02-30, and a further property whose name is a declared one in escapes.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

from worker.harmony.schema_pattern import LARGEST, MOST_TIMES, holdable

Json = Any  # A JSON value, or a JSON schema, of the client's.
Schema = Mapping[str, Json]

_UNHELD = frozenset(
    {
        "$dynamicRef",
        "$recursiveRef",
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
) | {"discriminator", "examples", "nullable", "readOnly", "strict", "title", "writeOnly"}

_FORMATS = frozenset(
    {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri"}
) | {"uri-reference", "uri-template", "uuid"}
_UNHELD_FORMATS = frozenset(
    {"idn-email", "idn-hostname", "iri", "iri-reference", "json-pointer", "regex"}
) | {"relative-json-pointer"}

_SCHEMAS = ("additionalProperties", "items", "propertyNames")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS = ("properties", "$defs", "definitions")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_SHAPES: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(_LISTS, list),
    **dict.fromkeys(_MAPS, Mapping),
    **dict.fromkeys(_SCHEMAS, (Mapping, bool)),
    **dict.fromkeys(_COUNTS, int),
    **dict.fromkeys(_NUMBERS, (int, float)),
    **dict.fromkeys(("$ref", "format", "pattern"), str),
    **dict.fromkeys(("enum", "required"), list),
    "type": (str, list),
}
"""What the value of a keyword must be. A boolean is no number."""

_DEEPEST = 100


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[str, Callable[[Json], bool]] = {
    "array": lambda value: isinstance(value, list),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and value == int(value),
    "null": lambda value: value is None,
    "number": _is_number,
    "object": lambda value: isinstance(value, Mapping),
    "string": lambda value: isinstance(value, str),
}


class Unsupported(NamedTuple):
    """A keyword that the grammar cannot express, and where it stands (a JSON pointer)."""

    keyword: str
    path: str


def unsupported(schema: Json) -> Unsupported | None:
    """The first keyword of `schema` that the grammar cannot express, or None."""
    return next(_Search(schema).problems(schema, "", 0), None)


def as_held(schema: Json) -> Json:
    """An expressible `schema` as the grammar reads it right.

    A bound on a string's length becomes a pattern, since with the bound itself the grammar admits
    control characters, which are not JSON. A format that it does not know is dropped.
    """
    if not isinstance(schema, Mapping):
        return schema
    held = {keyword: _held_part(keyword, value) for keyword, value in schema.items()}
    if held.get("format") not in _FORMATS:
        held.pop("format", None)
    low, high = held.pop("minLength", 0), held.pop("maxLength", None)
    if (low or high is not None) and "string" in _types(schema):
        held["pattern"] = _of_length(low, high)
    return held


def _of_length(low: int, high: int | None) -> str:
    """A pattern of strings of `low` to `high` characters."""
    pattern, left = "", (low, low if high is None else high)
    while left[1] > 0:
        least, most = (min(bound, MOST_TIMES) for bound in left)
        pattern += f".{{{least},{most}}}"
        left = left[0] - least, left[1] - most
    return f"^{pattern}$" if high is not None else f"^{pattern}.*$"


def _held_part(keyword: str, value: Json) -> Json:
    if keyword in _SCHEMAS:
        return as_held(value)
    if keyword in _LISTS:
        return [as_held(item) for item in value]
    if keyword in _MAPS:
        return {name: as_held(item) for name, item in value.items()}
    return value


class _Search:
    """Looks through one schema, its `$ref`s included."""

    def __init__(self, root: Json) -> None:
        self._root = root
        self._followed: set[str] = set()

    def problems(self, schema: Json, path: str, depth: int) -> Iterator[Unsupported]:
        if not isinstance(schema, Mapping):
            if schema is not True:
                yield Unsupported(
                    "false" if schema is False else path.rsplit("/", maxsplit=1)[-1], path
                )
            return
        if depth > _DEEPEST:
            yield Unsupported(path.rsplit("/", maxsplit=1)[-1], path)
            return
        for keyword in schema:
            if not self._expressible(keyword, schema, nested=depth > 0):
                yield Unsupported(keyword, f"{path}/{keyword}")
                return
        for place, inner in _inner_schemas(schema):
            yield from self.problems(inner, f"{path}/{place}", depth + 1)
        reference = schema.get("$ref")
        if reference is not None and reference not in self._followed:
            self._followed.add(reference)
            yield from self.problems(self._target(reference), reference[1:], depth + 1)

    def _target(self, reference: str) -> Json | None:
        """What a reference into this schema points at, or None if the grammar cannot follow it."""
        target = self._root
        head, *names = reference.split("/")
        if head != "#" or "~" in reference or "%" in reference:
            return None
        in_map = False
        for name in names:
            if not isinstance(target, Mapping) or not (in_map or name in _MAPS + _SCHEMAS):
                return None
            target = target.get(name)
            in_map = not in_map and name in _MAPS
        return None if in_map else target

    def _expressible(self, keyword: str, schema: Schema, *, nested: bool) -> bool:
        value, alone = schema[keyword], not schema.keys() - _ANNOTATIONS - {keyword}
        if not _well_formed(keyword, value):
            return False
        if {"enum", "const"} & schema.keys() and keyword not in _ANNOTATIONS:
            return _enumerates(keyword, schema)
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
                return bool(_types(schema)) and _types(schema) <= _TYPES.keys()
            case _:
                return keyword not in _UNHELD and _binds(keyword, schema)

    def _disjoint(self, variants: list[Json]) -> bool:
        """Whether no value can be two of `variants` at once, as `oneOf` asks."""
        return all(_apart(a, b) for a, b in combinations(map(self._resolved, variants), 2))

    def _resolved(self, schema: Json) -> Json:
        reference = schema.get("$ref") if isinstance(schema, Mapping) else None
        return self._target(reference) if isinstance(reference, str) else schema


def _well_formed(keyword: str, value: Json) -> bool:
    shape = _SHAPES.get(keyword)
    if shape is None:
        return True
    if isinstance(value, bool):
        return keyword in _SCHEMAS
    return isinstance(value, shape) and (keyword not in _COUNTS or value >= 0)


def _inner_schemas(schema: Schema) -> Iterator[tuple[str, Json]]:
    """The schemas that `schema` is made of, each with its place in it."""
    for keyword in _SCHEMAS:
        closing = keyword != "propertyNames" and schema.get(keyword) is False
        if keyword in schema and not closing:
            yield keyword, schema[keyword]
    for keyword in _LISTS:
        for index, item in enumerate(schema.get(keyword) or ()):
            yield f"{keyword}/{index}", item
    for keyword in _MAPS:
        for name, item in (schema.get(keyword) or {}).items():
            yield f"{keyword}/{name}", item


def _binds(keyword: str, schema: Schema) -> bool:
    """Whether the grammar holds a keyword that says something of one type of values.

    It does not look at most of them where no type is named.
    """
    match keyword:
        case "format" | "pattern" | "minLength" | "maxLength":
            return _binds_strings(keyword, schema)
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf":
            return _binds_numbers(keyword, schema)
        case "minItems" | "maxItems":
            return _binds_arrays(keyword, schema)
        case "required" | "minProperties" | "maxProperties" | "propertyNames":
            return _binds_objects(keyword, schema)
        case _:
            return True


def _binds_strings(keyword: str, schema: Schema) -> bool:
    if keyword == "format":
        bound = "type" in schema or schema[keyword] not in _FORMATS
        return bound and schema[keyword] not in _UNHELD_FORMATS
    if "type" not in schema or schema.get("format") in _FORMATS:
        return False
    if keyword == "pattern":
        return holdable(schema[keyword])
    short = "pattern" not in schema and schema[keyword] <= LARGEST
    return short and _in_order(schema, "minLength", "maxLength")


def _binds_numbers(keyword: str, schema: Schema) -> bool:
    if keyword == "multipleOf":
        whole = isinstance(schema[keyword], int) and schema[keyword] > 0
        return whole and schema.get("type") == "integer" and not schema.keys() & set(_NUMBERS[:4])
    if "integer" in _types(schema) and schema[keyword] != int(schema[keyword]):
        return False
    lows = [schema[k] for k in ("minimum", "exclusiveMinimum") if k in schema]
    highs = [schema[k] for k in ("maximum", "exclusiveMaximum") if k in schema]
    if not all(map(_is_number, lows + highs)):
        return False
    return "type" in schema and (not lows or not highs or max(lows) <= min(highs))


def _binds_arrays(keyword: str, schema: Schema) -> bool:
    prefix, more = len(schema.get("prefixItems") or ()), bool(schema.get("items", False))
    more = more or schema.get("items") == {}
    if not _in_order(schema, "minItems", "maxItems"):
        return False
    if not more and "prefixItems" not in schema:
        return False
    return prefix <= schema[keyword] if keyword == "maxItems" else more or schema[keyword] <= prefix


def _binds_objects(keyword: str, schema: Schema) -> bool:
    declared = schema.get("properties") or {}
    more = schema.get("additionalProperties", False) is not False
    match keyword:
        case "required":
            return all(isinstance(n, str) and n in declared for n in schema[keyword])
        case "propertyNames":
            return "type" in schema and not declared
        case "minProperties":
            reachable = schema[keyword] <= (1 if more else len(declared))
            return reachable and _in_order(schema, "minProperties", "maxProperties")
        case _:
            required = schema.get("required") or ()
            return bool(declared or more) and len(required) <= schema[keyword]


def _in_order(schema: Schema, low: str, high: str) -> bool:
    if low not in schema or high not in schema:
        return True
    return _well_formed(high, schema[high]) and schema.get(low, 0) <= schema[high]


def _enumerates(keyword: str, schema: Schema) -> bool:
    """Whether the values of a list are all valid; the grammar looks at nothing else."""
    values = _values(schema)
    match keyword:
        case "const":
            return True
        case "enum":
            return bool(values) and all(value in schema["enum"] for value in values)
        case "type":
            types = _types(schema)
            known = types <= _TYPES.keys()
            return known and all(any(_TYPES[t](value) for t in types) for value in values)
        case _:
            return keyword not in _SHAPES and keyword not in _UNHELD and keyword != "uniqueItems"


def _apart(a: Json, b: Json) -> bool:
    if not isinstance(a, Mapping) or not isinstance(b, Mapping):
        return False
    if _types(a) and _types(b) and not _with_integers(_types(a)) & _with_integers(_types(b)):
        return True
    if _told_apart(_values(a), _values(b)):
        return True
    shared = set(_list(a.get("required"))) & set(_list(b.get("required")))
    return any(_told_apart(_property_values(a, n), _property_values(b, n)) for n in shared)


def _told_apart(left: list[Json], right: list[Json]) -> bool:
    return bool(left) and bool(right) and not any(value in right for value in left)


def _property_values(schema: Schema, name: str) -> list[Json]:
    """The values that a required property can have, where they are listed."""
    properties = schema.get("properties")
    found = properties.get(name) if isinstance(properties, Mapping) else None
    return _values(found) if isinstance(found, Mapping) else []


def _types(schema: Schema) -> set[str]:
    named = schema.get("type")
    return {named} if isinstance(named, str) else {str(name) for name in _list(named)}


def _with_integers(types: set[str]) -> set[str]:
    return types | {"integer"} if "number" in types else types


def _values(schema: Schema) -> list[Json]:
    return [schema["const"]] if "const" in schema else _list(schema.get("enum"))


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []

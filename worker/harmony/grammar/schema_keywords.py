"""The keywords of JSON Schema, grouped as the grammar treats them, and accessors for a schema.

Rule: nothing here decides what is enforceable. Every value comes from the client and may be
anything.
"""

from collections.abc import Callable, Iterator, Mapping
from math import isfinite

from worker.json_depth import Json

Schema = Mapping[str, Json]

UNENFORCED = frozenset(
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
"""Keywords that the grammar ignores or interprets differently."""

ANNOTATIONS = frozenset(
    {"$comment", "$defs", "$id", "$schema", "default", "definitions", "deprecated", "description"}
) | {"discriminator", "examples", "nullable", "readOnly", "strict", "title", "writeOnly"}

FORMATS = frozenset(
    {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri"}
) | {"uri-reference", "uri-template", "uuid"}
UNENFORCED_FORMATS = frozenset(
    {"idn-email", "idn-hostname", "iri", "iri-reference", "json-pointer", "regex"}
) | {"relative-json-pointer"}

SCHEMAS = ("additionalProperties", "items", "propertyNames")
LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
MAPS = ("properties", "$defs", "definitions")
NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
VALUE_TYPES: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(LISTS, list),
    **dict.fromkeys(MAPS, Mapping),
    **dict.fromkeys(SCHEMAS, (Mapping, bool)),
    **dict.fromkeys(COUNTS, int),
    **dict.fromkeys(NUMBERS, (int, float)),
    **dict.fromkeys(("$ref", "format", "pattern"), str),
    **dict.fromkeys(("enum", "required"), list),
    "type": (str, list),
}
"""The type that a keyword's value must have. A boolean is not a number."""


MAX_COUNT = 2**31 - 1
"""The largest count that the grammar can represent."""


def is_number(value: Json) -> bool:
    """Whether `value` is a JSON number. `1e999`, which Python reads as infinity, is not."""
    return _is_whole(value) or (isinstance(value, float) and isfinite(value))


def _is_whole(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


TYPES: Mapping[str, Callable[[Json], bool]] = {
    "array": lambda value: isinstance(value, list),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_whole(value) or (isinstance(value, float) and value.is_integer()),
    "null": lambda value: value is None,
    "number": is_number,
    "object": lambda value: isinstance(value, Mapping),
    "string": lambda value: isinstance(value, str),
}


def well_formed(keyword: str, value: Json) -> bool:
    shape = VALUE_TYPES.get(keyword)
    if shape is None:
        return True
    if isinstance(value, bool):
        return keyword in SCHEMAS
    if keyword in COUNTS:
        return isinstance(value, int) and 0 <= value <= MAX_COUNT
    return isinstance(value, shape) and (keyword not in NUMBERS or is_number(value))


def inner_schemas(schema: Schema) -> Iterator[tuple[str, Json]]:
    """The direct subschemas of `schema`, each with its path in it."""
    for keyword in SCHEMAS:
        closing = keyword != "propertyNames" and schema.get(keyword) is False
        if keyword in schema and not closing:
            yield keyword, schema[keyword]
    for keyword in LISTS:
        for index, item in enumerate(schema.get(keyword) or ()):
            yield f"{keyword}/{index}", item
    for keyword in MAPS:
        for name, item in (schema.get(keyword) or {}).items():
            yield f"{keyword}/{name}", item


def types_of(schema: Schema) -> set[str]:
    named = schema.get("type")
    return {named} if isinstance(named, str) else {str(name) for name in as_list(named)}


def values_of(schema: Schema) -> list[Json]:
    return [schema["const"]] if "const" in schema else as_list(schema.get("enum"))


def as_list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []

"""Which bounds on a value the grammar holds: of one type of values, or a list of them.

Rule: as in `schema_support`: what cannot be held to the letter is not held. Every keyword of the
schema is well-formed by now.
"""

import json
from collections.abc import Mapping

from worker.harmony.grammar.schema_pattern import holdable
from worker.harmony.grammar.schema_words import (
    FORMATS,
    NUMBERS,
    SHAPES,
    TYPES,
    UNHELD,
    UNHELD_FORMATS,
    Json,
    Schema,
    is_number,
    types_of,
    values_of,
)
from worker.json_depth import DEEPEST

LARGEST_LEAST = 256
"""The largest `minLength`: each of its characters is spelled out."""
LONGEST = 10_000
"""The largest `maxLength`: a mask within such a string takes longer the longer it has become."""
_LARGEST_FACTOR = 1024
"""The grammar ignores a `multipleOf` beyond it."""


def binds(keyword: str, schema: Schema) -> bool:
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
        bound = "type" in schema or schema[keyword] not in FORMATS
        return bound and schema[keyword] not in UNHELD_FORMATS
    if "type" not in schema or schema.get("format") in FORMATS:
        return False
    if keyword == "pattern":
        return holdable(schema[keyword])
    longest = LARGEST_LEAST if keyword == "minLength" else LONGEST
    short = "pattern" not in schema and schema[keyword] <= longest
    return short and _in_order(schema, "minLength", "maxLength")


def _binds_numbers(keyword: str, schema: Schema) -> bool:
    if keyword == "multipleOf":
        whole = isinstance(schema[keyword], int) and 0 < schema[keyword] <= _LARGEST_FACTOR
        return whole and schema.get("type") == "integer" and not schema.keys() & set(NUMBERS[:4])
    if "integer" in types_of(schema) and not TYPES["integer"](schema[keyword]):
        return False
    lows = [schema[k] for k in ("minimum", "exclusiveMinimum") if k in schema]
    highs = [schema[k] for k in ("maximum", "exclusiveMaximum") if k in schema]
    if not all(_is_exact(bound, schema) for bound in lows + highs):
        return False
    return "type" in schema and (not lows or not highs or max(lows) <= min(highs))


def _is_exact(bound: float, schema: Schema) -> bool:
    """Whether the grammar reads a bound as it stands; of numbers, beyond a double's digits, it
    takes the next one."""
    return abs(bound) <= 2**53 or ("number" not in types_of(schema) and _fits(bound))


def _fits(number: float) -> bool:
    """Whether a number is within 64 bits, as the grammar counts."""
    return -(2**63) <= number < 2**63


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
    return schema[low] <= schema[high]


def enumerates(keyword: str, schema: Schema) -> bool:
    """Whether the values of a list are all valid; the grammar looks at nothing else."""
    values = values_of(schema)
    match keyword:
        case "const":
            return _is_written(values[0])
        case "enum":
            listed = schema["enum"]
            agrees = "const" not in schema or _is_among(schema["const"], listed)
            return bool(listed) and agrees and all(map(_is_written, listed))
        case "type":
            types = types_of(schema)
            known = types <= TYPES.keys()
            return known and all(any(TYPES[t](value) for t in types) for value in values)
        case _:
            return keyword not in SHAPES and keyword not in UNHELD and keyword != "uniqueItems"


def _is_among(value: Json, values: list[Json]) -> bool:
    """As JSON: to Python, `True` is 1."""
    return json.dumps(value) in map(json.dumps, values)


def _is_written(value: Json, depth: int = 0) -> bool:
    """Whether the grammar writes `value` so that it reads back as itself."""
    if depth > DEEPEST:
        return False
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return all(_is_written(item, depth + 1) for item in value)
    if isinstance(value, int):
        return _fits(value)
    return not isinstance(value, float) or is_number(value)

"""Which bounds on a value the grammar enforces, for values of one type or for a list of values.

Rule, as in `schema_support`: a bound that cannot be enforced exactly counts as not enforced.
Every keyword of the schema has been checked to be well-formed by now.
"""

import json
from collections.abc import Mapping

from worker.harmony.grammar.schema_keywords import (
    FORMATS,
    NUMBERS,
    TYPES,
    UNENFORCED,
    UNENFORCED_FORMATS,
    VALUE_TYPES,
    Json,
    Schema,
    is_number,
    types_of,
    values_of,
)
from worker.harmony.grammar.schema_pattern import is_enforceable
from worker.json_depth import MAX_DEPTH

MIN_LENGTH_LIMIT = 256
"""The largest `minLength`: the grammar has a state for each of its characters."""
MAX_LENGTH_LIMIT = 10_000
"""The largest `maxLength`: the longer such a string gets, the longer each mask takes."""
_MULTIPLE_OF_LIMIT = 1024
"""The grammar ignores a larger `multipleOf`."""


def is_enforced(keyword: str, schema: Schema) -> bool:
    """Whether the grammar enforces a keyword that applies to values of one type.

    It ignores most of these keywords where the schema names no `type`.
    """
    match keyword:
        case "format" | "pattern" | "minLength" | "maxLength":
            return _is_enforced_on_strings(keyword, schema)
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf":
            return _is_enforced_on_numbers(keyword, schema)
        case "minItems" | "maxItems":
            return _is_enforced_on_arrays(keyword, schema)
        case "required" | "minProperties" | "maxProperties" | "propertyNames":
            return _is_enforced_on_objects(keyword, schema)
        case _:
            return True


def _is_enforced_on_strings(keyword: str, schema: Schema) -> bool:
    if keyword == "format":
        bound = "type" in schema or schema[keyword] not in FORMATS
        return bound and schema[keyword] not in UNENFORCED_FORMATS
    if "type" not in schema or schema.get("format") in FORMATS:
        return False
    if keyword == "pattern":
        return is_enforceable(schema[keyword])
    longest = MIN_LENGTH_LIMIT if keyword == "minLength" else MAX_LENGTH_LIMIT
    short = "pattern" not in schema and schema[keyword] <= longest
    return short and _in_order(schema, "minLength", "maxLength")


def _is_enforced_on_numbers(keyword: str, schema: Schema) -> bool:
    if keyword == "multipleOf":
        whole = isinstance(schema[keyword], int) and 0 < schema[keyword] <= _MULTIPLE_OF_LIMIT
        return whole and schema.get("type") == "integer" and not schema.keys() & set(NUMBERS[:4])
    if "integer" in types_of(schema) and not TYPES["integer"](schema[keyword]):
        return False
    lows = [schema[k] for k in ("minimum", "exclusiveMinimum") if k in schema]
    highs = [schema[k] for k in ("maximum", "exclusiveMaximum") if k in schema]
    if not all(_is_exact(bound, schema) for bound in lows + highs):
        return False
    return "type" in schema and (not lows or not highs or max(lows) <= min(highs))


def _is_exact(bound: float, schema: Schema) -> bool:
    """Whether the grammar takes a bound exactly. For `number` it rounds bounds beyond a double's
    precision."""
    return abs(bound) <= 2**53 or ("number" not in types_of(schema) and _fits(bound))


def _fits(number: float) -> bool:
    """Whether a number fits into the 64-bit signed integer that the grammar uses."""
    return -(2**63) <= number < 2**63


def _is_enforced_on_arrays(keyword: str, schema: Schema) -> bool:
    prefix, more = len(schema.get("prefixItems") or ()), bool(schema.get("items", False))
    more = more or schema.get("items") == {}
    if not _in_order(schema, "minItems", "maxItems"):
        return False
    if not more and "prefixItems" not in schema:
        return False
    return prefix <= schema[keyword] if keyword == "maxItems" else more or schema[keyword] <= prefix


def _is_enforced_on_objects(keyword: str, schema: Schema) -> bool:
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


def is_enforced_with_enum(keyword: str, schema: Schema) -> bool:
    """Whether `keyword` holds for every value of an `enum` or `const`; the grammar enforces only
    the list of values."""
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
            return (
                keyword not in VALUE_TYPES
                and keyword not in UNENFORCED
                and keyword != "uniqueItems"
            )


def _is_among(value: Json, values: list[Json]) -> bool:
    """Compared as JSON, since in Python `True == 1`."""
    return json.dumps(value) in map(json.dumps, values)


def _is_written(value: Json, depth: int = 0) -> bool:
    """Whether `value` survives the grammar unchanged: what it writes reads back as `value`."""
    if depth > MAX_DEPTH:
        return False
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return all(_is_written(item, depth + 1) for item in value)
    if isinstance(value, int):
        return _fits(value)
    return not isinstance(value, float) or is_number(value)

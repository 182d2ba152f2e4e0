"""OpenAI tool definitions as Harmony shows them to the model: a TypeScript namespace.

Rule: `openai_harmony` writes the TypeScript; this module only brings a JSON schema into the forms
that it knows (`oneOf`, `enum` on strings, no `$ref`, whole characters), so that nothing of the
schema is lost. A word that would keep it busy is refused: its encoder takes time by the square.
Source: openai/harmony, `json_schema_to_typescript`.
"""

import json
from collections.abc import Mapping, Sequence
from sys import float_info
from typing import Any

import regex
from openai_harmony import DeveloperContent, ToolDescription

from worker.errors import BadRequest
from worker.harmony.json_schema import Unfolding

Json = Any  # A JSON value from outside: validated where it enters, walked here.

LONGEST_WORD = 2000
"""Characters; some 10 ms."""
_VALUES = frozenset({"const", "default", "enum", "example", "examples"})
"""Keywords whose values are no schemas."""
_WORD = regex.compile(r"[\p{L}\p{M}]+|[^\s\p{L}\p{N}]+|\s+")


def describe(tools: Sequence[Mapping[str, Json]]) -> list[ToolDescription]:
    """Harmony's descriptions of OpenAI function tools (`{"type": "function", "function": …}`)."""
    unfolding = Unfolding()
    return [_describe(_readable(tool["function"]), unfolding) for tool in tools]


def _describe(function: Mapping[str, Json], unfolding: Unfolding) -> ToolDescription:
    parameters = function.get("parameters")
    return ToolDescription.new(
        function["name"],
        function.get("description") or "",
        _adapted(unfolding.inlined(parameters)) if parameters else None,
    )


def _readable(value: Json) -> Json:
    """`value` with whole characters. Raises BadRequest for a word that is too long, and for a
    number that is none of JSON or that no double holds."""
    match value:
        case str():
            if any(len(word) > LONGEST_WORD for word in _WORD.findall(value)):
                raise BadRequest(
                    f"tools: a word of more than {LONGEST_WORD} characters.", param="tools"
                )
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {_readable(key): _readable(item) for key, item in value.items()}
        case list():
            return [_readable(item) for item in value]
        case int() | float() if not abs(value) <= float_info.max:
            raise BadRequest("tools: a number that is too large, or none.", param="tools")
        case _:
            return value


def tools_content(tools: Sequence[Mapping[str, Json]]) -> DeveloperContent:
    """A developer message's content that shows the tools."""
    return DeveloperContent.new().with_function_tools(describe(tools))


def _adapted(schema: Json) -> Json:
    """`schema` (without `$ref`) in the keywords that Harmony's TypeScript knows."""
    if isinstance(schema, list):
        return [_adapted(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: _adapted_part(key, value) for key, value in schema.items()}
    match schema.get("allOf"):
        case [dict(only)]:
            schema = {**only, **{k: v for k, v in schema.items() if k != "allOf"}}
        case _:
            pass
    schema = _with_variants(schema)
    if "const" in schema and "enum" not in schema:
        schema["enum"] = [schema.pop("const")]
    return _with_visible_enum(schema)


def _adapted_part(key: str, value: Json) -> Json:
    if key in _VALUES:
        return value
    if key == "properties" and isinstance(value, dict):
        return {name: _adapted(schema) for name, schema in value.items()}
    return _adapted(value)


def _with_variants(schema: dict[str, Json]) -> dict[str, Json]:
    """`anyOf` as `oneOf`; a null among the variants as `nullable`, and a lone variant as itself."""
    variants = schema.pop("oneOf", None) or schema.pop("anyOf", None)
    if not isinstance(variants, list) or not all(isinstance(v, dict) for v in variants):
        return schema
    real = [v for v in variants if v.get("type") != "null"]
    if real and len(real) < len(variants):
        real[-1] = {**real[-1], "nullable": True}
    return {**real[0], **schema} if len(real) == 1 else {**schema, "oneOf": real}


def _with_visible_enum(schema: dict[str, Json]) -> dict[str, Json]:
    """Harmony shows an `enum` on strings alone: other values go into the description."""
    values = schema.get("enum")
    if not isinstance(values, list) or not values:
        return schema
    if all(isinstance(value, str) for value in values):
        return {**schema, "type": "string"}
    shown = "One of: " + ", ".join(json.dumps(value) for value in values)
    description = schema.get("description")
    return {**schema, "description": f"{description} {shown}" if description else shown}

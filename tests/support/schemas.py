"""Random schemas with all keywords, and what their rendering must mention."""

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

from tests.support.typescript_reader import Path

Schema = dict[str, Any]

TYPES = ["string", "integer", ["string", "null"], ["array", "null"], "object", "array", "odd"]
_COMBINED = ("allOf", "anyOf", "else", "if", "not", "oneOf", "then")
_ITEMS = ("contains", "items", "prefixItems")


class _Maker:
    """Generates schemas in which each name, text and value is unique."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._fresh = itertools.count(1000)

    def schema(self, depth: int, refs: tuple[str, ...] = ()) -> Schema:
        schema = self._annotations()
        ends = ["enum", "const", "type", *(["$ref"] if refs else [])]
        if not depth or self._draw(st.integers(0, 3)) == 0:
            return schema | self._end(self._draw(st.sampled_from(ends)), refs)
        makers = self._makers(lambda: self.schema(depth - 1, refs))
        for kind in self._draw(st.lists(st.sampled_from(list(makers)), min_size=1, max_size=3)):
            schema |= makers[kind]()
        return schema

    def named(self, make: Callable[[], Schema]) -> dict[str, Schema]:
        return {f"name{next(self._fresh)}": schema for schema in self._several(make)}

    def _annotations(self) -> Schema:
        schema: Schema = {}
        if self._draw(st.booleans()):
            schema["description"] = f"Text {next(self._fresh)}."
        if self._draw(st.integers(0, 3)) == 0:
            schema["default"] = self._value()
        if self._draw(st.integers(0, 3)):
            schema["type"] = self._draw(st.sampled_from(TYPES))
        return schema

    def _end(self, keyword: str, refs: tuple[str, ...]) -> Schema:
        if keyword == "$ref":
            return {"$ref": self._draw(st.sampled_from(refs))}
        value = self._draw(st.sampled_from(TYPES)) if keyword == "type" else self._value()
        return {keyword: [value, self._value()] if keyword == "enum" else value}

    def _makers(self, inner: Callable[[], Schema]) -> dict[str, Callable[[], Schema]]:
        def several(keyword: str) -> Callable[[], Schema]:
            return lambda: {keyword: self._several(inner)}

        def one(keyword: str) -> Callable[[], Schema]:
            return lambda: {keyword: inner()}

        def named(keyword: str) -> Callable[[], Schema]:
            return lambda: {keyword: self.named(inner)}

        return {
            "properties": lambda: self._object(inner),
            "optional": lambda: {"anyOf": [inner(), {"type": "null"}]},
            "if": lambda: {"if": inner(), "then": inner(), "else": inner()},
            **{key: several(key) for key in ("anyOf", "oneOf", "allOf", "prefixItems")},
            **{key: one(key) for key in ("items", "not", "contains", "additionalProperties")},
            **{key: named(key) for key in ("patternProperties", "dependentSchemas")},
        }

    def _object(self, inner: Callable[[], Schema]) -> Schema:
        properties = self.named(inner)
        required = list(properties)[: self._draw(st.integers(0, 2))]
        return {"properties": properties, "required": required}

    def _several(self, make: Callable[[], Schema]) -> list[Schema]:
        return [make() for _ in range(self._draw(st.integers(1, 3)))]

    def _value(self) -> Any:
        word, number = f"value{next(self._fresh)}", next(self._fresh)
        return self._draw(st.sampled_from([word, number, number / 2, [word], {"key": number}]))


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """Random schemas with definitions, which are referenced in every possible way."""
    maker = _Maker(draw)
    definitions = {
        "pointed": maker.schema(1),
        "anchored": {**maker.schema(1), "$anchor": "here"},
        "named": {**maker.schema(1), "$id": "urn:x:named"},
        "draft4": {**maker.schema(1), "id": "#four"},
        "listed": {"anyOf": [maker.schema(1), {"type": "null"}]},
    }
    refs = ("#/$defs/pointed", "#here", "urn:x:named", "#four", "#/$defs/listed/anyOf/0")
    properties = maker.named(lambda: maker.schema(4, refs))
    root = maker.schema(2, refs)
    return {**root, "$defs": definitions, "properties": properties, "required": []}


def expected_names(
    schema: Any, root: Schema, path: Path = (), refs: tuple[str, ...] = ()
) -> Iterator[tuple[Path, bool]]:
    """Each property's path, with whether it is required; a recursive schema is visited once."""
    for name in schema.get("properties", {}):
        yield (*path, name), name in schema.get("required", [])
    for inner, below in _parts(schema, path):
        yield from expected_names(inner, root, below, refs)
    ref = schema.get("$ref")
    if ref and ref not in refs:
        yield from expected_names(_target(ref, root), root, path, (*refs, ref))


def expected_texts(schema: Any, root: Schema, refs: tuple[str, ...] = ()) -> Iterator[str]:
    """Each description, value and default, and the names of conditions and patterns."""
    if "description" in schema:
        yield schema["description"]
    for key in ("default", "const"):
        if key in schema:
            yield json.dumps(schema[key], separators=(",", ":")).strip('"')
    yield from (json.dumps(value, separators=(",", ":")) for value in schema.get("enum", []))
    yield from schema.get("dependentSchemas", {})
    yield from schema.get("patternProperties", {})
    for inner, _ in _parts(schema, ()):
        yield from expected_texts(inner, root, refs)
    ref = schema.get("$ref")
    if ref and ref not in refs:
        yield from expected_texts(_target(ref, root), root, (*refs, ref))


def _parts(schema: Any, path: Path) -> Iterator[tuple[Schema, Path]]:
    """The direct subschemas of a schema, each with its path."""
    for name, inner in schema.get("properties", {}).items():
        yield inner, (*path, name)
    for inner in schema.get("patternProperties", {}).values():
        yield inner, (*path, "[key]")
    if isinstance(values := schema.get("additionalProperties"), dict):
        yield values, (*path, "[key]")
    for inner in schema.get("dependentSchemas", {}).values():
        yield inner, path
    for keyword in (*_COMBINED, *_ITEMS):
        value = schema.get(keyword, [])
        yield from ((inner, path) for inner in (value if isinstance(value, list) else [value]))


def _target(ref: str, root: Any) -> Any:
    """The target of a $ref: a JSON pointer, or an anchor or id of a definition."""
    names = {
        "#here": "#/$defs/anchored",
        "urn:x:named": "#/$defs/named",
        "#four": "#/$defs/draft4",
    }
    for part in names.get(ref, ref).split("/")[1:]:
        root = root[int(part)] if isinstance(root, list) else root[part]
    return root

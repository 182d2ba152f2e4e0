"""What a JSON schema (without references) states about a value, merged for display.

Rule: no names, types, values, defaults, descriptions or required properties are dropped. `allOf`,
and a union with one variant, are merged into the containing schema; `anyOf` and `oneOf` stay
unions; keywords that a type cannot express (`not`, `if`, …) are kept by name. A malformed keyword
is ignored, and a schema with `properties` describes an object even without a `type`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from worker.harmony.rendering.json_schema import REFERENCES
from worker.json_depth import Json

_IMPLIED = {
    "string": {
        "contentEncoding",
        "contentMediaType",
        "format",
        "maxLength",
        "minLength",
        "pattern",
    },
    "number": {"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"},
    "array": {"maxItems", "minItems", "uniqueItems"},
    "object": {"maxProperties", "minProperties"},
}
"""The type implied by keywords that apply to no other type."""

JSON_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})

_OBJECT_KEYWORDS = frozenset(
    {"additionalProperties", "dependencies", "dependentRequired", "patternProperties"}
) | {"properties", "propertyNames", "required", "unevaluatedProperties"}
_ARRAY_KEYWORDS = frozenset({"items", "prefixItems", "additionalItems", "unevaluatedItems"})
_CONDITION_KEYWORDS = frozenset(
    {"contains", "contentSchema", "dependencies", "dependentSchemas", "else", "if", "not", "then"}
)


class Union(NamedTuple):
    """An `anyOf` or a `oneOf` (`exclusive`); `nullable` if another variant was null."""

    variants: list[Json]
    nullable: bool
    exclusive: bool


class Array(NamedTuple):
    """The schemas of the first items and of all further ones; `[]` and None if unspecified."""

    first: list[Json]
    rest: Json | None


class Pattern(NamedTuple):
    """A map: its keys (a pattern, or a schema of them) and the schema of its values."""

    pattern: str
    keys: Json
    values: Json


class Condition(NamedTuple):
    """`if`, `then` and `else`."""

    test: Json
    then: Json
    otherwise: Json


@dataclass
class Shape:
    """What a schema states, merged with the parts of its `allOf`."""

    title: str | None = None
    descriptions: list[str] = field(default_factory=list[str])
    defaults: list[Json] = field(default_factory=list[Json])
    examples: list[Json] = field(default_factory=list[Json])
    types: list[str | list[str]] = field(default_factory=list[str | list[str]])
    values: list[list[Json]] = field(default_factory=list[list[Json]])
    nullable: bool = False
    properties: dict[str, list[Json]] = field(default_factory=dict[str, list[Json]])
    required: dict[str, None] = field(default_factory=dict[str, None])
    dependent_required: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    maps: list[Pattern] = field(default_factory=list[Pattern])
    open: bool = False
    arrays: list[Array] = field(default_factory=list[Array])
    unions: list[Union] = field(default_factory=list[Union])
    conditions: list[Condition] = field(default_factory=list[Condition])
    others: list[tuple[str, Json]] = field(default_factory=list[tuple[str, Json]])
    implied: dict[str, None] = field(default_factory=dict[str, None])

    @property
    def is_object(self) -> bool:
        """Whether properties of an object are stated, or only that the value is an object."""
        stated = self.properties or self.required or self.dependent_required or self.maps
        return bool(stated) or self._is_no_more_than("object")

    @property
    def is_array(self) -> bool:
        return bool(self.arrays) or self._is_no_more_than("array")

    def _is_no_more_than(self, name: str) -> bool:
        return name in self.types and not self.values and not self.unions

    @property
    def is_untyped(self) -> bool:
        """Whether no type is named or implied by values."""
        return not (self.types or self.values or self.unions)

    @property
    def has_no_parameters(self) -> bool:
        """Whether, as the parameters of a function, it has none."""
        stated = (
            self.properties or self.required or self.dependent_required or self.maps or self.open
        )
        more = self.arrays or self.values or self.unions or self.conditions or self.others
        typed = any(types not in ("object", ["object"]) for types in self.types)
        return not (stated or more or typed or self.implied)


def shape_of(schema: Json) -> Shape:
    """The shape of `schema`; an empty one if it is not a schema."""
    shape = Shape()
    _take(shape, schema)
    return shape


def _take(shape: Shape, schema: Json) -> None:
    if schema is False or _is_never(schema):
        shape.types.append("never")
        return
    if not isinstance(schema, dict):
        return
    _take_texts(shape, schema)
    _take_types(shape, schema)
    if not _OBJECT_KEYWORDS.isdisjoint(schema):
        _take_object(shape, schema)
    if not _ARRAY_KEYWORDS.isdisjoint(schema):
        _take_array(shape, schema)
    if not _CONDITION_KEYWORDS.isdisjoint(schema):
        _take_conditions(shape, schema)
    for part in _list(schema, "allOf"):
        _take(shape, part)
    for keyword in ("oneOf", "anyOf"):
        if variants := _list(schema, keyword):
            _take_union(shape, variants, exclusive=keyword == "oneOf")


def _is_never(schema: Json) -> bool:
    """Whether it is `{"not": {}}`, which zod's converter writes for `undefined`."""
    return schema == {"not": {}} or (schema == {"not": True} and schema["not"] is True)


def _take_texts(shape: Shape, schema: Mapping[str, Json]) -> None:
    title, description = schema.get("title"), schema.get("description")
    if isinstance(title, str) and shape.title is None:
        shape.title = title
    if isinstance(description, str) and description not in shape.descriptions:
        shape.descriptions.append(description)
    if "default" in schema and schema["default"] not in shape.defaults:
        shape.defaults.append(schema["default"])
    shape.examples += _list(schema, "examples")


def _take_types(shape: Shape, schema: Mapping[str, Json]) -> None:
    named = schema.get("type")
    listed = [_type(t) for t in _list(schema, "type") if _is_text(t)]
    types = _type(named) if isinstance(named, str) else listed
    if types and types not in shape.types:
        shape.types.append(types)
    for values in ([schema["const"]] if "const" in schema else [], _list(schema, "enum")):
        if values and values not in shape.values:
            shape.values.append(values)
    shape.nullable |= schema.get("nullable") is True
    shape.types += [name for keyword in REFERENCES if (name := _name(schema.get(keyword)))]
    shape.implied |= dict.fromkeys(
        t for t, keywords in _IMPLIED.items() if not keywords.isdisjoint(schema)
    )


def _type(name: str) -> str:
    """A type's name in lower case; Google's clients write `STRING`."""
    return name.lower() if name.lower() in JSON_TYPES else name


def _take_object(shape: Shape, schema: Mapping[str, Json]) -> None:
    for name, inner in _map(schema, "properties"):
        shape.properties.setdefault(name, []).append(inner)
        if isinstance(inner, dict) and inner.get("required") is True:  # as in draft 3
            shape.required[name] = None
    required = schema.get("required")
    names = [required] if isinstance(required, str) else _list(schema, "required")
    shape.required |= dict.fromkeys(filter(_is_text, names))
    for keyword in ("dependentRequired", "dependencies"):
        for name, needed in _map(schema, keyword):
            if isinstance(needed, list):
                shape.dependent_required.setdefault(name, []).extend(filter(_is_text, needed))
    shape.maps += [Pattern(p, None, inner) for p, inner in _map(schema, "patternProperties")]
    for keyword in ("additionalProperties", "unevaluatedProperties"):
        values = schema.get(keyword)
        shape.open |= values is True or values == {}
        if isinstance(values, dict) and values:
            shape.maps.append(Pattern("", schema.get("propertyNames"), values))
    if "propertyNames" in schema and not any(p.keys for p in shape.maps):
        shape.maps += [Pattern("", schema["propertyNames"], True)] * _names_keys(schema)


def _names_keys(schema: Mapping[str, Json]) -> bool:
    """Whether `propertyNames` lists the allowed names."""
    return bool(shape_of(schema["propertyNames"]).values)


def _take_array(shape: Shape, schema: Mapping[str, Json]) -> None:
    items, prefix = schema.get("items"), _list(schema, "prefixItems")
    first = prefix or _list(schema, "items")
    after = ["unevaluatedItems", "additionalItems" if isinstance(items, list) else "items"]
    rest = next((schema[keyword] for keyword in reversed(after) if keyword in schema), None)
    if rest is None and "items" in schema and not first:
        rest = True  # `"items": null` is an array of anything
    if first or rest is not None:
        shape.arrays.append(Array(first, rest))


def _take_conditions(shape: Shape, schema: Mapping[str, Json]) -> None:
    if "then" in schema or "else" in schema or "if" in schema:
        parts = (schema.get(keyword, True) for keyword in ("if", "then", "else"))
        shape.conditions.append(Condition(*parts))
    for keyword in ("dependentSchemas", "dependencies"):
        for name, inner in _map(schema, keyword):
            if not isinstance(inner, list):
                shape.conditions.append(Condition({"required": [name]}, inner, True))
    for keyword in ("not", "contains", "contentSchema"):
        if keyword in schema:
            shape.others.append((keyword, schema[keyword]))


def _take_union(shape: Shape, variants: list[Json], *, exclusive: bool) -> None:
    """`anyOf: [T, null]` is a nullable `T`, and an `anyOf` of one variant is that variant. A
    `oneOf` of one stays a union, since `openai_harmony` shows it as one."""
    real = [v for v in variants if v != {"type": "null"}]
    nullable = len(real) < len(variants)
    if len(real) == 1 and (nullable or not exclusive):
        _take(shape, real[0])
        shape.nullable |= nullable
    elif real:
        shape.unions.append(Union(real, nullable, exclusive))
    else:
        shape.types.append("null")


def _name(ref: Json) -> str:
    """A name for a reference that was not followed: `Node` for `#/$defs/Node`, `any` for `#`."""
    if not isinstance(ref, str):
        return ""
    last = [part for part in ref.replace("#", "/").split("/") if part][-1:]
    name = last[0].partition(".")[0] if last else ""
    return name if name.isidentifier() else "any"


def _list(schema: Mapping[str, Json], keyword: str) -> list[Json]:
    value = schema.get(keyword)
    return value if isinstance(value, list) else []


def _map(schema: Mapping[str, Json], keyword: str) -> Iterable[tuple[str, Json]]:
    value = schema.get(keyword)
    return value.items() if isinstance(value, dict) else ()


def _is_text(value: Json) -> bool:
    return isinstance(value, str)

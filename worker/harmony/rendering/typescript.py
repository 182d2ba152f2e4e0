"""JSON schemas (without references) in the TypeScript-like notation that gpt-oss was trained on.

Rule: everything that a `Shape` contains is written; `any` means that the schema states nothing.
Where `openai_harmony` loses nothing, the output is identical to its text, including whitespace:

    // A description, before the property (an object's also before its `{`).
    name?: string, // default: "x"
    when:
     | string // A variant's description.
     | number
    ,

Where it has no notation, TypeScript's is used: `A & B` if several types apply, `"a" | 1 | null`,
`[string, ...number[]]`, `[key: string]: T`, and `Not<T>` or `(this extends A ? B : C)` for `not`
and `if`. Quoted names and texts are escaped so that they can be parsed back.
Source: openai/harmony, `json_schema_to_typescript`.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from worker.harmony.rendering.schema_shape import (
    JSON_TYPES,
    Array,
    Condition,
    Pattern,
    Shape,
    Union,
    shape_of,
)
from worker.json_depth import Json

_TYPES = {"integer": "number"}
_GENERICS = {"not": "Not", "contains": "Contains", "contentSchema": "Json"}
_PLAIN_NAME = re.compile(r"[^\s\"'`:?,;{}()\[\]|&<>=\\\x00-\x1f]+")
"""A name that needs no quotes before `:`; `openai_harmony` quotes nothing."""
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class Scope(NamedTuple):
    """What the enclosing schemas state about an object: its property names and required names."""

    names: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()


class Typed(NamedTuple):
    """A type as text. `joins`: the operator at its top level, if any. `commented`: it ends in a
    comment, so that whatever follows must go on the next line."""

    text: str
    joins: str = ""
    commented: bool = False

    def closed(self, indent: str) -> str:
        return f"{self.text}\n{indent}" if self.commented else self.text

    def within(self, operator: str, indent: str) -> str:
        """The text as an operand of `operator`, parenthesized if needed (`[]` binds tightest)."""
        if not self.joins or self.joins == operator:
            return self.closed(indent)
        lines = self.text.startswith("\n")
        return f"({self.text}\n{indent})" if lines else f"({self.closed(indent)})"


def parameters(schema: Json) -> tuple[str, list[str]]:
    """A function's parameters as text, and the descriptions to put before the function.

    The text is empty for a function without parameters.
    """
    shape = shape_of(schema)
    if shape.has_no_parameters:
        return "", shape.descriptions
    shape.title = None  # the function has a name
    return _nested(shape, "", Scope()).closed(""), []


def literal(value: Json) -> str:
    """A JSON value, as compact JSON."""
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, list):
        return f"[{','.join(map(literal, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{literal(k)}:{literal(v)}' for k, v in value.items())}}}"
    return without_nul(json.dumps(value, ensure_ascii=False))


def without_nul(text: str) -> str:
    """JSON text with U+FFFD in place of NUL."""
    return _NUL.sub("\\1\ufffd", text)


def _float(value: float) -> str:
    """As serde_json writes it: `1e-5` is `0.00001`, `1e+16` is `1e16`."""
    mantissa, _, exponent = repr(value).partition("e")
    if exponent == "-05":
        sign = "-" if mantissa.startswith("-") else ""
        return f"{sign}0.0000{mantissa.removeprefix('-').replace('.', '')}"
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def _comment(lines: Iterable[str], indent: str) -> str:
    return "".join(f"{indent}// {line}\n" for line in lines)


def _default(value: Json, *, bare: bool) -> str:
    """A default as text; `openai_harmony` quotes a property's default unless there is an `enum`."""
    text = literal(value)
    bare = bare and isinstance(value, str) and text == f'"{value}"'
    return f"default: {value if bare else text}"


def _defaults(shape: Shape, *, bare: bool = True) -> list[str]:
    return [_default(value, bare=bare and bool(shape.values)) for value in shape.defaults]


def _nested(shape: Shape, indent: str, scope: Scope) -> Typed:
    """A type without a property name before it: its comments go before it."""
    texts = [] if shape.is_object else shape.descriptions
    if not shape.descriptions and shape.title:
        texts = [shape.title]
    before = _comment([*texts, *_defaults(shape)], indent)
    typed = _type(shape, indent, scope)
    if before and typed.joins == "|" and typed.text.startswith("\n"):
        before = f"\n{before}".removesuffix("\n")
    return typed._replace(text=before + typed.text)


def _type(shape: Shape, indent: str, scope: Scope) -> Typed:
    scope = _scope(shape, scope)
    unions = [union for union in shape.unions if _required_names(union, shape) is None]
    parts = [] if unions and _is_bare(shape) else _parts(shape, indent, scope)
    parts += [_union(union, shape, indent, scope) for union in unions]
    parts += [_condition(condition, indent, scope) for condition in shape.conditions]
    parts += [
        Typed(f"{_GENERICS[word]}<{_nested(shape_of(schema), indent, scope).closed(indent)}>")
        for word, schema in shape.others
    ]
    if len(parts) > 1:
        whole = Typed(" & ".join(part.within("&", indent) for part in parts), "&")
    else:
        whole = parts[0] if parts else Typed("any")
    return _or_null(whole, indent) if shape.nullable and not _has_null(shape, unions) else whole


def _or_null(typed: Typed, indent: str) -> Typed:
    return Typed(f"{typed.closed(indent)} | null", "|")


def _has_null(shape: Shape, unions: Sequence[Union]) -> bool:
    """Whether null is already written, as a type, as a value, or in a union."""
    named = any("null" in _listed(types) for types in shape.types)
    listed = any(None in values for values in shape.values)
    return named or listed or (len(unions) == 1 and _is_bare(shape))


def _listed(types: str | list[str]) -> list[str]:
    return [types] if isinstance(types, str) else types


def _is_bare(shape: Shape) -> bool:
    """Whether a schema states only a type, which the variants of its unions then inherit."""
    stated = shape.properties or shape.required or shape.dependent_required or shape.maps
    return not (stated or shape.arrays or shape.values)


def _scope(shape: Shape, scope: Scope) -> Scope:
    """The scope for the schemas that `shape` combines."""
    return Scope(scope.names | shape.properties.keys(), scope.required | shape.required.keys())


def _required_names(union: Union, shape: Shape) -> list[list[str]] | None:
    """The names that each variant requires, if the variants state nothing else and all names are
    properties; else None."""
    names = list[list[str]]()
    for variant in union.variants:
        stated = shape_of(variant)
        only = Shape(required=stated.required, types=stated.types)
        if stated != only or not stated.required.keys() <= shape.properties.keys():
            return None
        if not stated.required or stated.types not in ([], ["object"]):
            return None
        names.append(list(stated.required))
    return names


def _parts(shape: Shape, indent: str, scope: Scope) -> list[Typed]:
    """The types besides unions that apply together: the listed values, types and structures."""
    structures: dict[str, Typed] = {}
    if shape.is_object:
        structures["object"] = _object(shape, indent, scope)
    if shape.is_array:
        structures["array"] = _array(shape, indent)
    parts = [_values(values, shape) for values in shape.values]
    if not parts:
        parts = _typed(shape, structures)
    left = list(structures.values())
    if parts or len(left) < 2:
        return [*parts, *left]
    return [Typed(" | ".join(part.within("|", indent) for part in left), "|")]


def _typed(shape: Shape, structures: dict[str, Typed]) -> list[Typed]:
    """The named types. Takes the text of an object or an array out of `structures`."""
    parts = dict[Typed, None]()
    structured = bool(structures)
    for types in shape.types or ([list(shape.implied)] if not structured else []):
        known = [t for t in _listed(types) if t in JSON_TYPES or not structured]
        members = [structures.pop(t, None) or Typed(_TYPES.get(t, t)) for t in known]
        if len(members) == 1:
            parts[members[0]] = None
        elif members:
            parts[Typed(" | ".join(m.within("|", "") for m in members), "|")] = None
    if len(parts) > 1:  # `object` is redundant beside an object's properties
        parts.pop(Typed("object"), None)
    return list(parts)


def _values(values: Sequence[Json], shape: Shape) -> Typed:
    nullable = any("null" in _listed(types) for types in shape.types)
    texts = [literal(value) for value in values]
    texts += ["null"] * (nullable and None not in values)
    return Typed(" | ".join(texts), "|" if len(texts) > 1 else "")


def _object(shape: Shape, indent: str, scope: Scope) -> Typed:
    lines = [
        _property(_property_name(name), _all_of(schemas), indent, required=name in scope.required)
        for name, schemas in shape.properties.items()
    ]
    lines += [_mapping(pattern, indent) for pattern in shape.maps]
    lines += [f"{indent}{_property_name(name)}: any,\n" for name in _undeclared(shape, scope)]
    notes = list(_notes(shape, scope))
    head = _comment(shape.descriptions, indent)
    return Typed(f"{head}{{\n{''.join(lines)}{_comment(notes, indent)}{indent}}}")


def _all_of(schemas: list[Json]) -> Json:
    return schemas[0] if len(schemas) == 1 else {"allOf": schemas}


def _undeclared(shape: Shape, scope: Scope) -> list[str]:
    """The names of required properties that no schema declares, here or in a combined schema.

    Empty if a map covers every name.
    """
    if shape.maps:
        return []
    missing = [name for name in shape.required if name not in scope.names]
    below = _names_within(shape) if missing else set[str]()
    return [name for name in missing if name not in below]


def _names_within(shape: Shape) -> set[str]:
    """The property names of a schema and of all schemas that it combines."""
    parts = [v for union in shape.unions for v in union.variants]
    parts += [part for condition in shape.conditions for part in condition[1:]]
    found = set(shape.properties)
    for part in map(shape_of, parts):
        found |= _names_within(part)
    return found


def _notes(shape: Shape, scope: Scope) -> Iterator[str]:
    """Comments about several of an object's properties together."""
    known = shape.required if shape.maps else scope.names
    elsewhere = [n for n in shape.required if n in known and n not in shape.properties]
    if elsewhere:
        yield f"Required: {', '.join(elsewhere)}"
    for union in shape.unions:
        if needed := _required_names(union, shape):
            word = "Exactly one of" if union.exclusive else "At least one of"
            yield f"{word}: {'; '.join(' and '.join(names) for names in needed)}"
    for name, names in shape.dependent_required.items():
        yield f"{name} requires {', '.join(names)}"


def _property_name(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) and "//" not in name else literal(name)


def _mapping(pattern: Pattern, indent: str) -> str:
    keys = shape_of(pattern.keys).values
    named = " | ".join(map(literal, keys[0])) if keys else "string"
    before = _comment([f"Names like {pattern.pattern}"] if pattern.pattern else [], indent)
    return before + _property(f"[key: {named}]", pattern.values, indent, required=True)


def _property(name: str, schema: Json, indent: str, *, required: bool) -> str:
    shape = shape_of(schema)
    union = _lone_union(shape)
    before = f"{indent}// {shape.title}\n{indent}//\n" if shape.title is not None else ""
    mark = "" if required else "?"
    examples = _examples(shape, indent)
    if union is None:
        typed = _type(shape, f"{indent}    ", Scope()).closed(indent)
        after = f" // {' '.join(_defaults(shape))}" if shape.defaults else ""
        before += _comment(shape.descriptions, indent) + examples
        return f"{before}{indent}{name}{mark}: {typed},{after}\n"
    above = shape.descriptions
    if _is_object_with(above, union.variants[0]):
        above = []
    before += examples + _comment([*above, *_defaults(shape)], indent)
    variants = _variants(union, shape, indent, Scope(), above=above)
    lines = "".join(f"{indent} | {variant}\n" for variant, _ in variants)
    return f"{before}{indent}{name}{mark}:\n{lines}{indent},\n"


def _lone_union(shape: Shape) -> Union | None:
    """The union that a schema consists of, if it states nothing else."""
    alone = _is_bare(shape) and not shape.conditions and not shape.others
    return shape.unions[0] if alone and len(shape.unions) == 1 else None


def _is_object_with(descriptions: list[str], schema: Json) -> bool:
    """Whether `schema` is an object whose own text repeats these descriptions."""
    shape = shape_of(schema)
    return bool(descriptions) and shape.is_object and shape.descriptions == descriptions


def _examples(shape: Shape, indent: str) -> str:
    lines = ["Examples:"] if shape.examples else []
    return _comment([*lines, *(f"- {literal(example)}" for example in shape.examples)], indent)


def _union(union: Union, shape: Shape, indent: str, scope: Scope) -> Typed:
    variants = list(_variants(union, shape, indent, scope))
    text = "".join(f"\n{indent} | {variant}" for variant, _ in variants)
    return Typed(text, "|", commented=variants[-1][1])


def _variants(
    union: Union, shape: Shape, indent: str, scope: Scope, above: list[str] | None = None
) -> Iterator[tuple[str, bool]]:
    """Each variant with its comments, and whether it ends in a comment.

    `above`: the descriptions already written above the property; `openai_harmony` then does not
    repeat an object's description after the first variant.
    """
    for at, schema in enumerate(union.variants):
        variant = shape_of(schema)
        if variant.is_untyped:
            variant.types = list(shape.types)
        typed = _type(variant, f"{indent}   ", scope)
        last = at == len(union.variants) - 1
        if last and (union.nullable or shape.nullable) and not _has_null(variant, variant.unions):
            typed = _or_null(typed, indent) if not variant.nullable else typed
        texts = [text for text in variant.descriptions if text not in (above or ())]
        if at == 0 and above and variant.is_object:
            texts = []
        if not variant.descriptions and variant.title:
            texts = [variant.title]
        texts += _defaults(variant, bare=above is not None)
        comment = f" // {' '.join(texts)}" if texts else ""
        yield typed.text + comment, bool(comment) or typed.commented


def _array(shape: Shape, indent: str) -> Typed:
    parts = [_items(array, indent) for array in shape.arrays]
    if len(parts) > 1:
        return Typed(" & ".join(parts), "&")
    return Typed(parts[0] if parts else "Array<any>")


def _items(array: Array, indent: str) -> str:
    def each(schema: Json) -> Typed:
        return _nested(shape_of(schema), indent, Scope())

    rest = "" if array.rest is None else f"{each(array.rest).within('[]', indent)}[]"
    if not array.first:
        return rest
    first = ", ".join(each(schema).closed(indent) for schema in array.first)
    return f"[{first}, ...{rest}]" if rest and array.rest is not False else f"[{first}]"


def _condition(condition: Condition, indent: str, scope: Scope) -> Typed:
    test, then, otherwise = (
        _nested(shape_of(part), indent, scope).closed(indent) for part in condition
    )
    return Typed(f"(this extends {test} ? {then} : {otherwise})")

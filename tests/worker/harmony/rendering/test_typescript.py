"""Schemas as TypeScript: as `openai_harmony` writes them if it loses nothing; and all others."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai_harmony import DeveloperContent, Message, Role, ToolDescription

from tests.support.schemas import expected_names, expected_texts, schemas
from tests.support.typescript_reader import names
from worker.harmony.conversation import Tool
from worker.harmony.rendering.instructions import tools_section
from worker.harmony.vocabulary import MESSAGE, encode, encoding

Schema = dict[str, Any]


def tool(parameters: Any, description: str | None = "Does it.") -> dict[str, Any]:
    function = {"name": "f", "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


def shown(parameters: Any) -> str:
    """The type of a function's parameters."""
    text = tools_section([*map(Tool.of, [tool(parameters)])])
    return text.partition("// Does it.\ntype f = (")[2].rpartition(") => any;\n\n}")[0]


def theirs(tools: list[dict[str, Any]]) -> list[int]:
    """The ids of a tools section, by `openai_harmony`."""
    functions = [one["function"] for one in tools]
    described = [
        ToolDescription.new(f["name"], f["description"], f["parameters"]) for f in functions
    ]
    content = DeveloperContent.new().with_function_tools(described)
    ids = encoding().render(Message.from_role_and_content(Role.DEVELOPER, content))
    return ids[ids.index(MESSAGE) + 1 : -1]


# Schemas of which `openai_harmony` loses nothing.

NAMES = st.one_of(
    st.from_regex(r"[a-z_$@][A-Za-z0-9_.-]{0,8}", fullmatch=True),
    st.sampled_from(["type", "enum", "oneOf", "$ref", "名前", "X-Api-Key"]),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
QUOTED = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), max_size=12
).filter(lambda text: "null" not in text)
SHORT_FLOATS = st.builds(
    lambda m, e: float(f"{m}e{e}"), st.integers(-999, 999), st.integers(-12, 20)
)
"""`openai_harmony` may change the last digit of longer ones."""
NUMBERS = st.one_of(st.integers(-(2**63), 2**64 - 1), SHORT_FLOATS)
PLAIN_VALUES = st.one_of(st.none(), st.booleans(), st.integers(-99, 99), QUOTED)
VALUES = st.one_of(
    PLAIN_VALUES,
    NUMBERS,
    st.lists(PLAIN_VALUES, max_size=3),
    st.dictionaries(QUOTED, PLAIN_VALUES, max_size=3),
)


def with_texts(typed: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    """Adds what a property can state besides its type."""
    more = st.fixed_dictionaries(
        {},
        optional={
            "title": TEXTS,
            "description": TEXTS,
            "default": VALUES,
            "examples": st.lists(QUOTED, min_size=1, max_size=2),
            "nullable": st.booleans(),
        },
    )
    return st.builds(lambda schema, more: once_null({**more, **schema}), typed, more)


def once_null(schema: Schema) -> Schema:
    """Without `nullable` if null occurs inside, since `openai_harmony` then does not show it."""
    inner = json.dumps({key: schema.get(key) for key in ("properties", "items") if key in schema})
    inner = inner.replace("nullable", "null") if '"nullable": true' in inner else inner
    return {k: v for k, v in schema.items() if k != "nullable" or "null" not in inner}


SCALARS: st.SearchStrategy[Schema] = st.one_of(
    st.sampled_from(["string", "number", "integer", "boolean"]).map(lambda t: {"type": t}),
    st.lists(st.sampled_from(["string", "integer", "null"]), min_size=1, max_size=3).map(
        lambda types: {"type": types}
    ),
    st.just({"type": "string", "format": "date", "minLength": 1}),
    st.just({"type": "array"}),
    st.just({}),
)
ENUMS: st.SearchStrategy[Schema] = st.lists(QUOTED, min_size=1, max_size=3, unique=True).map(
    lambda values: {"type": "string", "enum": values}
)


def objects(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    @st.composite
    def built(draw: st.DrawFn) -> Schema:
        properties = draw(st.dictionaries(NAMES, inner, max_size=3))
        required = draw(st.lists(st.sampled_from([*properties, ""]), unique=True, max_size=2))
        schema = {"type": "object", "properties": properties}
        return {**schema, "required": [name for name in required if name]}

    return built()


def described_once(schema: Schema) -> Schema:
    """For an array's items or a variant, where a title, a default or examples would be lost."""
    kept = {"type", "enum", "properties", "required", "items"}
    return {key: value for key, value in schema.items() if key in kept}


def is_one_type(schema: Schema) -> bool:
    """Whether an array of these needs no brackets."""
    return isinstance(schema.get("type", ""), str) and len(schema.get("enum", "1")) == 1


def arrays(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    items = inner.map(described_once).filter(is_one_type)
    return items.map(lambda schema: {"type": "array", "items": schema})


def untitled(schema: Schema) -> Schema:
    return {k: v for k, v in schema.items() if k not in ("title", "examples", "nullable")}


def unions(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    """Without its own description, which would hide the first variant's."""
    plain = inner.filter(lambda schema: "oneOf" not in schema).map(untitled)
    return st.lists(plain, min_size=1, max_size=3).map(lambda variants: {"oneOf": variants})


@st.composite
def described_unions(draw: st.DrawFn) -> Schema:
    """With a description, and a first variant that has none or is an object."""
    union = draw(unions(with_texts(SCALARS)))
    union["oneOf"][0].pop("description", None)
    text = draw(TEXTS)
    return {**union, "description": text, "default": draw(VALUES)}


def grown(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    return st.one_of(with_texts(st.one_of(objects(inner), arrays(inner))), unions(inner))


LEAVES = st.one_of(with_texts(SCALARS), with_texts(ENUMS), described_unions())
LOSSLESS = st.recursive(LEAVES, grown, max_leaves=8)


@settings(max_examples=150, deadline=None)
@given(objects(LOSSLESS).filter(lambda schema: schema["properties"]), st.none() | TEXTS)
def test_it_matches_openai_harmony_where_that_loses_nothing(
    schema: Schema, text: str | None
) -> None:
    """Token by token."""
    if text:
        schema = {**schema, "description": text}
    tools = [tool(schema), tool(None)]
    expected = theirs(tools)
    assert tools_section([*map(Tool.of, tools)]) == encoding().decode(expected)
    assert encode(tools_section([*map(Tool.of, tools)])) == expected


# All other schemas: parsed back, name by name.


def assert_all_is_shown(schema: Schema) -> None:
    """Each name at its depth, marked as optional or not; each text and value."""
    text = shown(schema)
    found = names(text.removeprefix("_: "))
    assert [said for said in expected_texts(schema, schema) if said not in text] == [], text
    for path, required in expected_names(schema, schema):
        assert path in found, text
        assert not required or ":" in found[path], text


@settings(max_examples=60, deadline=None)
@given(schemas())
def test_everything_in_a_schema_is_shown(schema: Schema) -> None:
    """In all combinations: no name, value, text or default is lost or misplaced."""
    assert_all_is_shown(schema)


REAL = json.loads((Path(__file__).parent / "real_schemas.json").read_text())
"""Tools as MCP servers, pydantic, zod and OpenAPI proxies send them."""


@pytest.mark.parametrize("name", REAL)
def test_a_real_tool_is_shown_whole(name: str) -> None:
    """Every name at its depth; every text, value and default."""
    assert_all_is_shown(REAL[name])


def prop(schema: Any) -> str:
    """How a property `p` of this schema is shown."""
    return shown({"type": "object", "properties": {"p": schema}})[5:].removesuffix("\n}").strip()


TEXT, NUMBER = {"type": "string"}, {"type": "number"}
A, B = ({"type": "object", "properties": {name: TEXT}} for name in "ab")
B_SHOWN = "{\n       b?: string,\n       }"


@pytest.mark.parametrize(
    ("schema", "typescript"),
    [
        ({"const": None}, "p?: null,"),
        ({"const": True, "type": "boolean"}, "p?: true,"),
        ({"const": {"a": [1.5]}}, 'p?: {"a":[1.5]},'),
        ({"type": "null"}, "p?: null,"),
        ({"enum": ["a", 1, None]}, 'p?: "a" | 1 | null,'),
        ({"type": ["string", "null"], "enum": ["a"]}, 'p?: "a" | null,'),
        ({"enum": ["a"], "nullable": True}, 'p?: "a" | null,'),
        ({"enum": ['5"', "a\nb"]}, 'p?: "5\\"" | "a\\nb",'),
        ({"type": ["array", "null"], "items": TEXT}, "p?: string[] | null,"),
        (
            {"type": ["object", "null"], "properties": {"a": TEXT}},
            "p?: {\n    a?: string,\n    } | null,",
        ),
        ({"properties": {"a": TEXT}}, "p?: {\n    a?: string,\n    },"),
        ({"items": {"enum": ["a", "b"]}}, 'p?: ("a" | "b")[],'),
        ({"type": "array", "items": {"type": ["string", "null"]}}, "p?: (string | null)[],"),
        (
            {"type": "array", "items": {"type": "string", "description": "A tag."}},
            "p?:     // A tag.\nstring[],",
        ),
        (
            {"type": "array", "items": {"anyOf": [TEXT, NUMBER]}},
            "p?: (\n     | string\n     | number\n    )[],",
        ),
        ({"prefixItems": [TEXT, NUMBER], "items": False}, "p?: [string, number],"),
        ({"items": [TEXT], "additionalItems": NUMBER}, "p?: [string, ...number[]],"),
        ({"additionalProperties": NUMBER}, "p?: {\n    [key: string]: number,\n    },"),
        (
            {"patternProperties": {"^x": TEXT}},
            "p?: {\n    // Names like ^x\n    [key: string]: string,\n    },",
        ),
        (
            {"additionalProperties": NUMBER, "propertyNames": {"enum": ["a"]}},
            'p?: {\n    [key: "a"]: number,\n    },',
        ),
        ({"allOf": [A, B]}, "p?: {\n    a?: string,\n    b?: string,\n    },"),
        (
            {"allOf": [TEXT, {"anyOf": [A, B]}]},
            "p?:\n | {\n   a?: string,\n   }\n | {\n   b?: string,\n   }\n,",
        ),
        (
            {**A, "anyOf": [B, TEXT]},
            f"p?: {{\n    a?: string,\n    }} & (\n     | {B_SHOWN}\n     | string\n    ),",
        ),
        ({"type": "string", "not": {"enum": ["a", "b"]}}, 'p?: string & Not<"a" | "b">,'),
        ({"if": TEXT, "then": {"const": "a"}}, 'p?: (this extends string ? "a" : any),'),
        ({"oneOf": [{"const": "a", "title": "Ay"}, {"const": 2}]}, 'p?:\n | "a" // Ay\n | 2\n,'),
        ({"oneOf": [TEXT, NUMBER], "nullable": True}, "p?:\n | string\n | number | null\n,"),
        (
            {"type": "string", "oneOf": [{"format": "date"}, {"description": "Any."}]},
            "p?:\n | string\n | string // Any.\n,",
        ),
        (
            {"type": ["array", "null"], "anyOf": [{"items": TEXT}, {"items": NUMBER}]},
            "p?:\n | string[] | null\n | number[] | null\n,",
        ),
        ({"anyOf": [{"not": {}}, TEXT]}, "p?:\n | never\n | string\n,"),
        (
            {"additionalProperties": NUMBER, "required": ["a", "b"]},
            "p?: {\n    [key: string]: number,\n    // Required: a, b\n    },",
        ),
        ({"type": "ARRAY", "items": {"type": ["INTEGER", "NULL"]}}, "p?: (number | null)[],"),
        ({"format": "date"}, "p?: string,"),
        ({"minimum": 0}, "p?: number,"),
        ({"type": "date"}, "p?: date,"),
        ({"type": "dict", "properties": {"a": TEXT}}, "p?: {\n    a?: string,\n    },"),
        (True, "p?: any,"),
        (False, "p?: never,"),
        ({"type": 5, "items": "x", "required": 1, "enum": {}, "anyOf": 0}, "p?: any[],"),
        ({"type": [], "properties": [], "allOf": {}, "description": 1, "title": []}, "p?: any,"),
        (
            {"properties": {"a b": {}, "x-y": {}, "": {}}},
            'p?: {\n    "a b"?: any,\n    x-y?: any,\n    ""?: any,\n    },',
        ),
        (
            {"properties": {"a": {"required": True}}, "required": "b"},
            "p?: {\n    a: any,\n    b: any,\n    },",
        ),
    ],
)
def test_what_openai_harmony_loses_is_written_too(schema: Any, typescript: str) -> None:
    """In TypeScript's own notation, as far as it has one; `any` means that nothing is stated."""
    assert prop(schema) == typescript


def test_alternative_required_properties_are_noted_in_a_comment() -> None:
    """A type for it would be longer."""
    places = {"lat": NUMBER, "lon": NUMBER, "city": TEXT}
    either = [{"required": ["lat", "lon"]}, {"required": ["city"]}]
    object_ = (
        "_: {\nlat?: number,\nlon?: number,\ncity?: string,\n// %s one of: lat and lon; city\n}"
    )
    assert shown({"properties": places, "anyOf": either}) == object_ % "At least"
    assert shown({"properties": places, "oneOf": either}) == object_ % "Exactly"


def test_what_the_enclosing_schema_requires_is_required_in_a_variant() -> None:
    """And the variant notes which of the enclosing properties it requires."""
    variants = [{"properties": {"b": TEXT}, "required": ["a"]}, {"properties": {"c": TEXT}}]
    assert shown({**A, "required": ["b"], "anyOf": variants}) == (
        "_: {\na?: string,\n} & (\n | {\n   b: string,\n   // Required: a\n   }"
        "\n | {\n   c?: string,\n   }\n)"
    )


@pytest.mark.parametrize("parameters", [None, {}, True, {"type": "object"}, {"properties": {}}, []])
def test_a_function_without_parameters_takes_none(parameters: Any) -> None:
    """As on OpenAI's page about the format."""
    assert shown(parameters) == ""


def test_a_function_without_parameters_keeps_their_description() -> None:
    """As a comment above the function."""
    text = tools_section([*map(Tool.of, [tool({"type": "object", "description": "None needed."})])])
    assert "// Does it.\n// None needed.\ntype f = () => any;\n" in text


@pytest.mark.parametrize(
    "keyword", ["items", "allOf", "anyOf", "not", "if", "properties", "additionalProperties"]
)
def test_the_deepest_schemas_are_shown(keyword: str) -> None:
    """Without overflowing Python's stack."""
    schema: Any = {"const": "deep"}
    levels = 49 if keyword in ("allOf", "anyOf", "properties") else 98
    for _ in range(levels):
        inner = {"allOf": [schema], "anyOf": [schema, TEXT], "properties": {"a": schema}}
        schema = {keyword: inner.get(keyword, schema)}
    assert '"deep"' in shown(schema)

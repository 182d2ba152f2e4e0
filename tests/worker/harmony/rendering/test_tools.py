"""Tool schemas as the TypeScript that gpt-oss was trained on: nothing in them is lost."""

import random
from math import inf, nan
from time import process_time
from typing import Any

import pytest

from worker.api.chat import render_prompt, structural_tag
from worker.errors import BadRequest
from worker.harmony.conversation import Tool
from worker.harmony.grammar.schema_keywords import ANNOTATIONS, UNENFORCED, VALUE_TYPES
from worker.harmony.rendering.instructions import tools_section
from worker.harmony.rendering.json_schema import MAX_TOTAL_VALUES, MAX_VALUES, RefInliner
from worker.harmony.vocabulary import encode, encoding


def shown(schema: dict[str, Any]) -> str:
    """How a property `p` of this schema is shown to the model."""
    parameters = {"type": "object", "properties": {"p": schema}, "$defs": schema.pop("$defs", {})}
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    text = encoding().decode(encode(tools_section([*map(Tool.of, [tool])])))
    return text.partition("type f = (_: {\n")[2].partition("\n}) => any;")[0]


@pytest.mark.parametrize(
    ("schema", "typescript"),
    [
        ({"type": "string"}, "p?: string,"),
        ({"type": "integer", "default": 3}, "p?: number, // default: 3"),
        ({"type": "string", "enum": ["a", "b"]}, 'p?: "a" | "b",'),
        ({"enum": ["a", "b"]}, 'p?: "a" | "b",'),
        ({"const": "a"}, 'p?: "a",'),
        ({"type": "integer", "enum": [1, 2]}, "p?: 1 | 2,"),
        (
            {"type": "integer", "enum": [1, 2], "description": "How many."},
            "// How many.\np?: 1 | 2,",
        ),
        ({"type": ["string", "null"]}, "p?: string | null,"),
        ({"type": "array", "items": {"type": "string"}}, "p?: string[],"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "p?: string | null,"),
        (
            {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
            "p?:\n | string\n | number | null\n,",
        ),
        ({"oneOf": [{"type": "string"}, {"type": "boolean"}]}, "p?:\n | string\n | boolean\n,"),
        ({"anyOf": "nonsense"}, "p?: any,"),
        ({"allOf": [{"type": "string", "description": "A name."}]}, "// A name.\np?: string,"),
        (
            {"$ref": "#/$defs/City", "$defs": {"City": {"type": "string", "enum": ["Oslo"]}}},
            'p?: "Oslo",',
        ),
        (
            {"type": "object", "properties": {"q": {"type": "boolean"}}, "required": ["q"]},
            "p?: {\n    q: boolean,\n    },",
        ),
    ],
)
def test_a_schema_is_shown_whole(schema: dict[str, Any], typescript: str) -> None:
    """Including forms that OpenAI's renderer does not support."""
    assert shown(schema) == typescript


def test_a_recursive_schema_is_cut() -> None:
    """At the second level, where the reference's name is shown instead."""
    schema = {
        "$ref": "#/$defs/Node",
        "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
    }
    cut = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    assert RefInliner().inline(schema) == cut
    assert shown(schema) == "p?: {\n    next?: Node,\n    },"


@pytest.mark.parametrize(
    ("ref", "typescript"),
    [
        ("#/nowhere", "nowhere"),
        ("https://example.org/address.json", "address"),
        ("http://[", "any"),
        ("#/$defs/a~1b", "any"),
        ("#/$defs/List/anyOf/7", "any"),
        ("#somewhere", "somewhere"),
    ],
)
def test_an_unresolved_reference_is_shown_by_its_name(ref: str, typescript: str) -> None:
    """If it has one."""
    assert RefInliner().inline({"$ref": ref}) == {"$ref": ref}
    assert shown({"$ref": ref}) == f"p?: {typescript},"


CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
ORIGIN = {"anyOf": [CITY, {"type": "null"}]}


@pytest.mark.parametrize(
    ("ref", "schema"),
    [
        ("#", {"properties": {}}),
        ("#/properties/from/anyOf/0", {"properties": {"from": ORIGIN}}),
        ("#/%24defs/a~1b", {"$defs": {"a/b": CITY}}),
        ("#city", {"$defs": {"x": {**CITY, "$anchor": "city"}}}),
        ("#city", {"$defs": {"x": {**CITY, "$dynamicAnchor": "city"}}}),
        (
            "city.json",
            {"$id": "https://x.org/all.json", "$defs": {"x": {**CITY, "$id": "city.json"}}},
        ),
        ("https://x.org/city", {"$defs": {"x": {**CITY, "$id": "https://x.org/city"}}}),
        (
            "urn:x#/$defs/y",
            {"$defs": {"x": {"$id": "urn:x", "$defs": {"y": {"$ref": "#/$defs/z"}, "z": CITY}}}},
        ),
    ],
)
@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
def test_a_reference_may_name_any_part(ref: str, schema: dict[str, Any], keyword: str) -> None:
    """By a pointer, an anchor, or an id; pointers are relative to their document."""
    schema["properties"] = {**schema.get("properties", {}), "to": {keyword: ref}}
    to = RefInliner().inline(schema)["properties"]["to"]
    assert keyword not in to
    assert "properties" in to


def test_keywords_beside_a_reference_apply_too() -> None:
    """JSON Schema 2020-12: in addition to those of the target."""
    schema = {
        "$ref": "#/$defs/a",
        "description": "Mine.",
        "properties": {"mine": {}},
        "$defs": {"a": {"description": "Its.", "type": "object", "properties": {"its": {}}}},
    }
    assert shown(schema) == (
        "// Mine.\n// Its.\np?:     // Mine.\n    // Its.\n"
        "{\n    mine?: any,\n    its?: any,\n    },"
    )


@pytest.mark.parametrize(
    "name", ["$defs", "$ref", "allOf", "anyOf", "const", "definitions", "enum", "oneOf", "type"]
)
def test_a_property_may_have_a_keyword_s_name(name: str) -> None:
    """The model sees it under this name, with its own schema."""
    schema = {"type": "object", "properties": {name: {"type": "boolean"}}}
    assert f"{name}?: boolean," in shown(schema)


def test_values_are_not_schemas() -> None:
    """A default keeps keys that are keywords in schemas."""
    assert shown({"type": "object", "default": {"const": 1}}) == (
        'p?: {\n    }, // default: {"const":1}'
    )


def doubling(rounds: int) -> dict[str, Any]:
    """A schema of `rounds` + 1 definitions that expands to 2 ** `rounds` strings."""
    definitions: dict[str, Any] = {f"d{rounds}": {"type": "string"}}
    for n in range(rounds):
        inner = {"$ref": f"#/$defs/d{n + 1}"}
        definitions[f"d{n}"] = {"type": "object", "properties": {"a": inner, "b": inner}}
    return {"$ref": "#/$defs/d0", "$defs": definitions}


def values(schema: Any) -> int:
    """How many JSON values there are in a schema, itself included."""
    inner = schema.values() if isinstance(schema, dict) else schema
    return 1 + (sum(map(values, inner)) if isinstance(schema, dict | list) else 0)


def test_a_schema_is_fully_inlined_if_it_is_small_enough() -> None:
    """For example, all 1,024 strings of ten rounds."""
    assert str(RefInliner().inline(doubling(10))).count("'string'") == 1024


@pytest.mark.parametrize("rounds", [12, 40])
def test_an_exponential_schema_is_cut_at_a_higher_level(rounds: int) -> None:
    """Its first levels are shown, and the rest is `any`, instead of 2 ** 40 values."""
    cut = RefInliner().inline(doubling(rounds))
    assert 10 < values(cut) <= MAX_VALUES + 1
    assert cut["properties"]["a"]["properties"]["b"]["type"] == "object"


def test_mutually_recursive_types_are_cut() -> None:
    """Nine of them, as in a syntax tree, would expand to 6 million values."""
    properties = {f"p{n}": {"$ref": f"#/$defs/d{n}"} for n in range(9)}
    node = {"type": "object", "properties": properties}
    cut = RefInliner().inline({**node, "$defs": {f"d{n}": node for n in range(9)}})
    assert 100 < values(cut) <= MAX_VALUES + 100
    assert cut["properties"]["p8"]["properties"].keys() == properties.keys()


def test_all_tools_of_a_request_share_a_limit() -> None:
    """Many expanding tools cannot get around it."""
    inliner = RefInliner()
    cut = [inliner.inline(doubling(10)) for _ in range(200)]
    assert values(cut[0]) == values(cut[9]) > 5000
    assert sum(map(values, cut)) <= MAX_TOTAL_VALUES + 1000


def test_a_long_chain_of_references_is_cut() -> None:
    """Instead of overflowing the stack."""
    chain = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(5000)}
    cut = RefInliner().inline({"$ref": "#/$defs/d0", "$defs": chain})
    assert cut["$ref"].startswith("#/$defs/d")


def nested(levels: int, inner: dict[str, Any]) -> dict[str, Any]:
    for _ in range(levels):
        inner = {"type": "object", "properties": {"a": inner}}
    return inner


def test_a_schema_that_is_too_deep_is_rejected() -> None:
    """Where references make it deep, they are cut instead."""
    assert shown(nested(45, {"type": "string"})).count("a?: ") == 45
    with pytest.raises(BadRequest, match="more than 100 levels"):
        shown(nested(60, {"type": "string"}))
    deep = nested(40, {"type": "string"})
    cut = shown({**nested(40, {"$ref": "#/$defs/deep"}), "$defs": {"deep": deep}})
    assert cut.count("a?: ") == 40
    assert "a?: deep" in cut


@pytest.mark.parametrize("number", [inf, -inf, nan, 10**400])
def test_a_number_that_is_not_json_is_rejected(number: float) -> None:
    """Python accepts `1e999` and `NaN`, which are not JSON."""
    with pytest.raises(BadRequest, match="a number that is not finite or does not fit"):
        shown({"type": "array", "items": {"type": "number", "default": number}})


WORDS = [*VALUE_TYPES, *sorted(ANNOTATIONS | UNENFORCED), "$ref", "enum", "const", "a"]
SCALARS: list[Any] = [None, True, False, 0, -1, 2.5, 10**20, inf]
TEXTS = ["", "string", "integer", "object", "array", "null", "date", "^a$", "#", "#/$defs/a"]


def nonsense(rng: random.Random, depth: int) -> Any:
    """A random JSON value made of JSON Schema keywords."""
    kind = rng.random() if depth else 0
    if kind < 0.35:
        return rng.choice([*SCALARS, *TEXTS])
    if kind < 0.5:
        return [nonsense(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {rng.choice(WORDS): nonsense(rng, depth - 1) for _ in range(rng.randrange(6))}


def test_any_schema_is_shown_or_rejected() -> None:
    """5,000 random ones: each gives a prompt and a grammar, or a client error."""
    shown_ones = refused = 0
    for seed in range(5000):
        rng = random.Random(seed)  # noqa: S311 - a seed is wanted
        schema = {"type": "object", "properties": {"p": nonsense(rng, 6)}}
        function = {"name": "f", "parameters": schema, "strict": rng.random() < 0.5}
        tools = [{"type": "function", "function": function}]
        try:
            structural_tag({"tools": tools, "tool_choice": "required"})
            render_prompt({"messages": [{"role": "user", "content": "Hi."}], "tools": tools})
            shown_ones += 1
        except BadRequest:
            refused += 1
    assert min(shown_ones, refused) > 500


@pytest.mark.parametrize("text", ["a \ud83d", "a \0"])
def test_an_unpaired_surrogate_is_shown_as_a_replacement_character(text: str) -> None:
    """As everywhere else: JavaScript clients cut texts inside an emoji. So is NUL."""
    whole = "a \ufffd"
    assert shown({"type": "string", "description": text}) == f"// {whole}\np?: string,"
    assert shown({"enum": [text, {text: [text]}]}) == (
        f'p?: "{whole}" | {{"{whole}":["{whole}"]}},'
    )
    assert shown({"default": text, "title": text}) == (
        f'// {whole}\n//\np?: any, // default: "{whole}"'
    )
    assert shown({"properties": {text: {}}}) == f'p?: {{\n    "{whole}"?: any,\n    }},'
    assert shown({"const": "a \\u0000"}) == 'p?: "a \\\\u0000",'


def test_a_long_word_takes_linear_time() -> None:
    """OpenAI's encoder would take minutes for it, or crash."""
    begun = process_time()
    assert len(shown({"type": "string", "description": "a" * 200_000})) > 200_000
    assert process_time() - begun < 2


def test_references_to_long_texts_are_cut_too() -> None:
    """A text counts by its length: 200 texts of 100,000 characters would be 20 million."""
    text = {"type": "string", "description": "a " * 50_000}
    schema = {"properties": {f"p{n}": {"$ref": "#/$defs/a"} for n in range(200)}}
    assert len(shown({**schema, "$defs": {"a": text}})) < 400_000

"""Keyword by keyword: accepted schemas are enforced by the grammar, and all others are rejected.

The grammars are xgrammar's, compiled as in the engine; the reference is jsonschema.
"""

import json
import random
import sys
from math import inf, nan
from typing import Any

import jsonschema
import pytest
import xgrammar
from xgrammar.testing import _is_grammar_accept_string as admits

from worker.engine.bounded_strings import with_bounded_strings
from worker.harmony.grammar.schema_support import Unsupported, for_xgrammar, unsupported

Schema = dict[str, Any]

INT: Schema = {"type": "integer"}
TEXT: Schema = {"type": "string"}
NODE: Schema = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}


def obj(properties: Schema, **more: Any) -> Schema:
    return {"type": "object", "properties": properties, **more}


def array(items: Any = INT, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def text(**more: Any) -> Schema:
    return {"type": "string", **more}


ENFORCED: list[tuple[str, Schema, str, list[str]]] = [
    ("nothing at all", {}, "[1]", ["zz", '"\n"']),
    ("type", INT, "1", ['"a"', "1.5"]),
    ("type, several", {"type": ["string", "null"]}, "null", ["1"]),
    ("enum", {"enum": [1, "a", None]}, '"a"', ["2"]),
    ("enum of its type", text(enum=["a", "b"], default="a"), '"a"', ['"c"']),
    ("enum of two types", {"type": ["string", "null"], "enum": ["a", None]}, "null", ['"b"']),
    ("const", {"const": 3}, "3", ["4"]),
    ("const, an object", {"const": {"a": [1]}}, '{"a":[1]}', ["{}"]),
    ("properties", obj({"a": INT}), '{"a":1}', ['{"a":"x"}', "[]", '{"b":1}']),
    ("properties without a type", {"properties": {"a": INT}}, '{"a":1}', ['{"a":"x"}']),
    ("properties named like keywords", obj({"not": INT}), '{"not":1}', ['{"not":"x"}']),
    ("required", obj({"a": INT, "b": INT}, required=["b"]), '{"b":1}', ['{"a":1}', "{}"]),
    ("required, nullable", obj({"a": INT}, required=["a"], nullable=True), '{"a":1}', ["{}"]),
    ("additionalProperties", obj({"a": INT}, additionalProperties=False), "{}", ['{"b":1}']),
    (
        "additionalProperties, a schema",
        obj({"a": INT}, additionalProperties=TEXT),
        '{"a":1,"b":"x"}',
        ['{"b":2}', '{"a":"x"}', '{"a":1,"a":"x"}'],
    ),
    (
        "minProperties",
        obj({"a": INT, "b": INT}, minProperties=2),
        '{"a":1,"b":1}',
        ["{}", '{"a":1}'],
    ),
    ("maxProperties", obj({"a": INT, "b": INT}, maxProperties=1), "{}", ['{"a":1,"b":1}']),
    (
        "minProperties of free ones",
        {"type": "object", "additionalProperties": INT, "minProperties": 1},
        '{"a":1}',
        ["{}"],
    ),
    (
        "propertyNames",
        {"type": "object", "propertyNames": {"type": "string", "pattern": "^x+$"}},
        '{"x":1}',
        ['{"y":1}'],
    ),
    ("items", array(), "[1,2]", ['["a"]']),
    ("items without a type", {"items": INT}, "[1]", ['["a"]']),
    ("minItems", array(minItems=2), "[1,2]", ["[1]"]),
    ("maxItems", array(maxItems=1), "[1]", ["[1,2]"]),
    ("prefixItems", {"type": "array", "prefixItems": [INT, TEXT]}, '[1,"a"]', ['["a"]']),
    ("prefixItems and items", array(TEXT, prefixItems=[INT]), '[1,"a"]', ["[1,1]"]),
    ("items false", array(items=False), "[]", ["[1]"]),
    ("minLength", text(minLength=2), '"ab"', ['"a"', '"a\t"']),
    ("maxLength", text(maxLength=1), '"a"', ['"ab"', '"\n"', '"\\"']),
    ("both lengths", text(minLength=2, maxLength=3), '"ab"', ['"a"', '"abcd"', '"\x01a"']),
    ("a length beside null", {"type": ["string", "null"], "maxLength": 1}, "null", ['"ab"']),
    ("long strings", text(maxLength=200), f'"{"a" * 200}"', ['"\n"', f'"{"a" * 201}"']),
    ("very long strings", text(minLength=200), f'"{"a" * 200}"', [f'"{"a" * 199}"']),
    (
        "the longest strings",
        text(maxLength=10_000),
        f'"{"a" * 10_000}"',
        ['"\n"', f'"{"a" * 10_001}"'],
    ),
    ("a length of none", text(maxLength=0), '""', ['"a"']),
    ("a length and an unknown format", text(maxLength=1, format="x"), '"a"', ['"ab"']),
    ("pattern", text(pattern="^a+$"), '"aa"', ['"b"', '""']),
    ("pattern, its pieces", text(pattern=r"^[\w.-]+@(?:x|y){2,3}\.\d$"), '"a@xy.1"', ['"a@x.1"']),
    ("pattern, alternatives", text(pattern="^a+$|^[b-d]{2}$"), '"bc"', ['"ab"']),
    ("pattern without anchors", text(pattern="b+c"), '"bbc"', ['"b"']),
    ("pattern with a dot", text(pattern="^a.b$"), '"axb"', ['"ab"', '"a\nb"', '"a\\b"', '"a"b"']),
    ("pattern, negated", text(pattern="^[^a]$"), '"b"', ['"a"', '"""', '"\\"', '"\x01"']),
    ("pattern, space", text(pattern=r"^\s\S$"), '" x"', ['"\n"', '" \\"']),
    ("pattern, a hundred times", text(pattern="^.{100}$"), f'"{"a" * 100}"', [f'"{"a" * 99}"']),
    ("pattern, in groups", text(pattern="^(?:.{40}){3}$"), f'"{"a" * 120}"', ['"a"', '"\n"']),
    ("minimum", {**INT, "minimum": 3}, "3", ["2", "-3"]),
    ("maximum", {**INT, "maximum": 3}, "-3", ["4", "10"]),
    ("exclusiveMinimum", {**INT, "exclusiveMinimum": 3}, "4", ["3"]),
    ("exclusiveMaximum", {"type": "number", "exclusiveMaximum": 3}, "2.5", ["3", "3.0", "3e0"]),
    (
        "a range of numbers",
        {"type": "number", "minimum": -1.5, "exclusiveMaximum": 0.75},
        "0.5",
        ["-1.6", "0.75", "1e5"],
    ),
    ("a range of integers", {**INT, "minimum": -17, "maximum": 123}, "0", ["-18", "124"]),
    ("a bound beside null", {"type": ["integer", "null"], "minimum": 3}, "null", ["2"]),
    ("multipleOf", {**INT, "multipleOf": 5}, "10", ["7"]),
    ("the largest multipleOf", {**INT, "multipleOf": 1024}, "2048", ["1023"]),
    (
        "64 bits",
        {**INT, "minimum": -(2**63), "maximum": 2**63 - 1},
        "9223372036854775807",
        ["9223372036854775808", "-9223372036854775809"],
    ),
    ("as many as can be counted", array(maxItems=2**31 - 1), "[1]", ["1"]),
    ("const, the largest integer", {"const": 2**63 - 1}, "9223372036854775807", ["1"]),
    ("enum of fractions", {"enum": [0.5, -2.0]}, "0.5", ["0.25"]),
    ("anyOf", {"anyOf": [INT, {"type": "null"}]}, "null", ['"a"']),
    ("oneOf, types", {"oneOf": [INT, TEXT]}, "1", ["null"]),
    ("oneOf, constants", {"oneOf": [{"const": "a"}, {"const": "b"}]}, '"b"', ['"c"']),
    (
        "oneOf, told apart by a property",
        {
            "oneOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}],
            "discriminator": {"propertyName": "k"},
            "$defs": {
                "a": obj({"k": {"const": "a"}, "v": INT}, required=["k"]),
                "b": obj({"k": {"enum": ["b", "c"]}, "v": TEXT}, required=["k"]),
            },
        },
        '{"k":"a","v":1}',
        ['{"k":"a","v":"x"}', '{"v":1}'],
    ),
    ("allOf of one", {"allOf": [INT]}, "1", ['"a"']),
    ("$ref", {"$ref": "#/$defs/a", "$defs": {"a": INT}}, "1", ['"a"']),
    ("$ref into definitions", {"$ref": "#/definitions/a", "definitions": {"a": INT}}, "1", ["{}"]),
    ("$ref to another property", obj({"a": {"$ref": "#/properties/b"}, "b": INT}), "{}", ['{"a"']),
    ("$ref to itself", obj({"c": {"$ref": "#"}}), '{"c":{}}', ['{"c":1}']),
    (
        "$ref, recursive",
        {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
        '{"next":{"next":{}}}',
        ['{"next":1}'],
    ),
    ("uniqueItems false", array(uniqueItems=False), "[1,1]", ['["a"]']),
    ("notes", {**INT, "title": "t", "description": "d", "examples": [1]}, "1", ['"a"']),
    ("format of an integer", {**INT, "format": "int32"}, "1", ['"a"']),
    *(
        (f"format {name}", text(format=name), f'"{good}"', [f'"{bad}"', '"\n"'])
        for name, good, bad in [
            ("date", "2020-01-02", "2020-13-02"),
            ("time", "03:04:05Z", "25:00:00Z"),
            ("date-time", "2020-01-02T03:04:05Z", "2020-01-02"),
            ("duration", "P1D", "1D"),
            ("email", "a@b.co", "a"),
            ("hostname", "a.b", "-"),
            ("ipv4", "1.2.3.4", "1.2.3.400"),
            ("ipv6", "::1", "x"),
            ("uri", "http://x", "x y"),
            ("uri-reference", "x", "x y"),
            ("uri-template", "x{a}", "x{"),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
        ]
    ),
]

REJECTED: list[tuple[Any, str, str]] = [
    *(
        (schema, keyword, f"/{keyword}")
        for keyword, schema in [
            # keywords that the grammar ignores or interprets differently
            ("not", {"not": INT}),
            ("if", {"if": INT}),
            ("dependentRequired", obj({}, dependentRequired={"a": ["b"]})),
            ("dependentSchemas", obj({}, dependentSchemas={"a": {}})),
            ("dependencies", obj({}, dependencies={"a": ["b"]})),
            ("patternProperties", obj({}, patternProperties={"^x": INT})),
            ("unevaluatedProperties", obj({}, unevaluatedProperties=False)),
            ("contains", array(contains=INT)),
            ("uniqueItems", array(uniqueItems=True)),
            ("multipleOf", {"type": "number", "multipleOf": 5}),
            ("multipleOf", {**INT, "multipleOf": 1.5}),
            ("multipleOf", {**INT, "multipleOf": 5, "minimum": 7}),
            ("allOf", {"allOf": [INT, {"minimum": 3}]}),
            ("anyOf", obj({"a": INT}, anyOf=[{"required": ["a"]}])),
            ("anyOf", {"anyOf": []}),
            ("oneOf", {"oneOf": [INT, {"type": "number"}]}),
            ("$ref", {"$ref": "https://example.com/schema"}),
            ("$ref", {"$ref": "#anchor", "$defs": {"a": {"$anchor": "anchor"}}}),
            ("$ref", {"$ref": "#/$defs/none"}),
            ("$ref", {"$ref": "#/$defs/a~1b", "$defs": {"a/b": INT}}),
            ("$dynamicRef", {"$dynamicRef": "#a"}),
            # keywords that it reads only if a type is named
            ("minLength", {"minLength": 2}),
            ("maxLength", {"maxLength": 2}),
            ("pattern", {"pattern": "^a$"}),
            ("format", {"format": "date"}),
            ("minimum", {"minimum": 3}),
            ("exclusiveMaximum", {"exclusiveMaximum": 3}),
            ("minItems", {"minItems": 1}),
            ("maxItems", {"type": "array", "maxItems": 1}),
            ("required", {"required": ["a"]}),
            ("propertyNames", {"propertyNames": TEXT}),
            # combinations that it does not enforce
            ("required", obj({"a": INT}, required=["b"])),
            ("propertyNames", obj({"a": INT}, propertyNames=TEXT)),
            ("minProperties", obj({"a": INT}, minProperties=2)),
            ("minProperties", obj({}, additionalProperties=INT, minProperties=2)),
            ("minLength", text(pattern="^a*$", minLength=2)),
            ("maxLength", text(format="uri", maxLength=9)),
            ("pattern", text(format="date", pattern="^2")),
            ("minimum", {"enum": [1, 5], "minimum": 3}),
            ("pattern", {"const": "a", "pattern": "b"}),
            ("type", {"enum": ["a", 1], "type": "integer"}),
            # formats and patterns that it does not know, or not as JSON strings
            ("format", text(format="idn-email")),
            ("format", text(format="regex")),
            ("format", text(format="json-pointer")),
            ("pattern", text(pattern="^(?!b)[a-z]$")),
            ("pattern", text(pattern=r"^a\bb$")),
            ("pattern", text(pattern=r"^(a|b)\1$")),
            ("pattern", text(pattern=r"^a\nb$")),
            ("pattern", text(pattern=r"^\\$")),
            ("pattern", text(pattern='^"$')),
            ("pattern", text(pattern="a^b")),
            ("pattern", text(pattern="(a$)b")),
            ("pattern", text(pattern=r"^\W$")),
            ("pattern", text(pattern="^.{129}$")),
            ("pattern", text(pattern="^(?:[^a]{100}){100}$")),
            ("pattern", text(pattern="^[a-z]{0,1000}$")),
            ("pattern", text(pattern="(")),
            ("pattern", text(pattern="^.{0,0}.{0,5}$")),
            ("maxLength", text(maxLength=10_001)),
            ("minLength", text(minLength=257)),
            ("oneOf", {"oneOf": [{"const": n} for n in range(101)]}),
            ("oneOf", {"oneOf": [{"const": 1}, {"const": True}]}),
            ("enum", {"const": True, "enum": [1]}),
            # one malformed keyword among others
            ("properties", {"type": "object", "properties": 5, "required": ["a"]}),
            ("format", {"type": "string", "pattern": "a", "format": []}),
            ("prefixItems", {"type": "array", "minItems": 1, "prefixItems": 5}),
            ("oneOf", {"oneOf": [{"required": [{}]}, {"required": [[]]}]}),
            # schemas that no value satisfies, or that are not schemas
            ("enum", {"enum": []}),
            ("minimum", {**INT, "minimum": 5, "maximum": 3}),
            ("minimum", {**INT, "minimum": 2.5}),
            ("minLength", text(minLength=5, maxLength=3)),
            ("minItems", array(minItems=5, maxItems=3)),
            ("minItems", array(minItems=-1)),
            ("exclusiveMinimum", {**INT, "exclusiveMinimum": True}),
            # numbers that it would round, ignore or never reach, or that are not JSON
            ("multipleOf", {**INT, "multipleOf": 1025}),
            ("minimum", {**INT, "minimum": 2**63}),
            ("maximum", {"type": "number", "maximum": 2**53 + 1}),
            ("minimum", {"type": "number", "minimum": 1e30}),
            ("minimum", {**INT, "minimum": inf}),
            ("maximum", {"type": "number", "maximum": -inf}),
            ("exclusiveMinimum", {"type": "number", "exclusiveMinimum": nan}),
            ("multipleOf", {**INT, "multipleOf": nan}),
            ("maxItems", array(maxItems=2**31)),
            ("enum", {"enum": [2**63]}),
            ("type", {"type": "integer", "enum": [inf]}),
            ("const", {"const": {"a": [inf]}}),
            ("const", {"const": nan}),
            ("type", {"type": "any"}),
            ("type", {"type": []}),
            ("items", {"type": "array", "items": [INT]}),
            ("properties", {"type": "object", "properties": ["a"]}),
            ("required", {"type": "object", "properties": {}, "required": "a"}),
        ]
    ),
    (
        obj({"a": text(minLength=200), "b": text(minLength=80)}),
        "minLength",
        "/properties/b/minLength",
    ),
    (
        obj({"a": text(pattern="^.{128}$"), "b": array(text(pattern="^(?:.{90}){2}$"))}),
        "pattern",
        "/properties/b/items/pattern",
    ),
    (obj({"a": False}), "false", "/properties/a"),
    (obj({"a": 5}), "a", "/properties/a"),
    (obj({"a": array(items={"not": INT})}), "not", "/properties/a/items/not"),
    ({"anyOf": [INT, {"minimum": 3}]}, "minimum", "/anyOf/1/minimum"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"if": {}}}}, "if", "/$defs/a/if"),
    (obj({"a": {"$ref": "#/x/y"}}, x={"y": INT}), "$ref", "/properties/a/$ref"),
    (obj({"a": {"$ref": "#/$defs"}}), "$ref", "/properties/a/$ref"),
    (obj({"a": {"$id": "other", "$ref": "#"}}), "$id", "/properties/a/$id"),
]


def tag(schema: Any) -> str:
    form = {"type": "json_schema", "json_schema": for_xgrammar(schema), "max_whitespace_cnt": 2}
    return json.dumps({"type": "structural_tag", "format": form})


@pytest.mark.parametrize(
    ("schema", "good", "bad"), [h[1:] for h in ENFORCED], ids=[h[0] for h in ENFORCED]
)
def test_accepted_schemas_are_enforced(schema: Schema, good: str, bad: list[str]) -> None:
    """The grammar admits valid JSON and rejects invalid JSON."""
    assert unsupported(schema) is None
    plain, counted = tag(schema), with_bounded_strings(tag(schema))
    # The engine compiles `counted`. With 10,000 characters, `plain` takes half a minute to read.
    for form in {counted} if len(good) > 1000 else {plain, counted}:
        grammar = xgrammar.Grammar.from_structural_tag(form)
        assert admits(grammar, good)
        assert [text for text in bad if admits(grammar, text)] == []


@pytest.mark.parametrize(("schema", "keyword", "path"), REJECTED)
def test_unenforced_keywords_are_rejected_by_name(schema: Any, keyword: str, path: str) -> None:
    """With the keyword and its path."""
    assert unsupported(schema) == Unsupported(keyword, path)


def test_a_schema_that_is_too_deep_is_rejected() -> None:
    """Instead of overflowing the stack."""
    schema: Schema = INT
    for _ in range(2000):
        schema = {"type": "array", "items": schema}
    found = unsupported(schema)
    assert found is not None
    assert found.keyword == "items"


def test_long_enums_are_checked_in_linear_time() -> None:
    """Two lists of 100,000 values; comparing every pair would take minutes."""
    left, right = ([f"{side}{n}" for n in range(100_000)] for side in "ab")
    assert unsupported({"enum": left}) is None
    assert unsupported({"oneOf": [{"enum": left}, {"enum": right}]}) is None
    assert unsupported({"oneOf": [{"enum": left}, {"enum": left}]}) == Unsupported(
        "oneOf", "/oneOf"
    )


LETTERS = [*(chr(code) for code in range(128)), "é", "日", "😀"]
STOP = len(LETTERS)


@pytest.fixture
def compiler() -> xgrammar.GrammarCompiler:
    """For a vocabulary of letters. (A compiler that lives until Python exits crashes it.)"""
    vocabulary = [*(letter.encode() for letter in LETTERS), b"<stop>"]
    kind = xgrammar.VocabType.RAW
    return xgrammar.GrammarCompiler(xgrammar.TokenizerInfo(vocabulary, kind, stop_token_ids=[STOP]))


def walk(grammar: xgrammar.CompiledGrammar, rng: random.Random) -> str | None:
    """A random text that the grammar admits; None if it does not end within 2,000 letters."""
    matcher, mask = xgrammar.GrammarMatcher(grammar), xgrammar.allocate_token_bitmask(1, STOP + 1)
    letters: list[str] = []
    while len(letters) < 2000:
        matcher.fill_next_token_bitmask(mask)
        row = mask[0].tolist()
        allowed = [token for token in range(STOP + 1) if row[token >> 5] >> (token & 31) & 1]
        ends = [token for token in allowed if token == STOP or LETTERS[token] in '"]},']
        escapes = [token for token in allowed if token < STOP and LETTERS[token] in "\\u\n\t"]
        likely = rng.choice([ends, escapes, allowed, allowed]) or allowed
        token = rng.choice(likely)
        if token == STOP:
            return "".join(letters)
        assert matcher.accept_token(token)
        letters.append(LETTERS[token])
    return None


@pytest.mark.slow
def test_random_walks_through_each_grammar_are_valid(
    compiler: xgrammar.GrammarCompiler, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever an accepted schema's grammar admits is JSON, and valid under the schema."""
    valid = cut = 0
    for name, schema, _, _ in ENFORCED:
        grammar = compiler.compile_structural_tag(with_bounded_strings(tag(schema)))
        judge = jsonschema.Draft202012Validator(schema)
        rng = random.Random(name)  # noqa: S311 - a seed is wanted
        for _ in range(40):
            found = walk(grammar, rng)
            if found is None:
                cut += 1
                continue
            judge.validate(json.loads(found))
            valid += 1
    with capsys.disabled():
        print(
            f"\n{valid} random walks through {len(ENFORCED)} schemas, all valid; {cut} cut",
            file=sys.stderr,
        )
    assert cut < valid / 20

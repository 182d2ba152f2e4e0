"""Strings of a bounded length, over gpt-oss's own vocabulary: held whatever the model draws."""

import json
import random
from functools import lru_cache
from typing import Any

import jsonschema
import numpy as np
import numpy.typing as npt
import pytest
import torch
import xgrammar
from _pytest.mark.structures import ParameterSet

from tests.support.scripted_engine import tokens
from tests.worker.engine.test_grammar_masks import backend
from worker.api.chat import structural_tag
from worker.engine.bounded_strings import with_bounded_strings
from worker.harmony.grammar.text_length import length_bounds, length_pattern
from worker.harmony.vocabulary import FIRST_SPECIAL, SIZE, STOP_IDS, encode, token_bytes

# SGLang 0.5.23 still says how far its matchers can go back, which xgrammar 0.2.7 no longer wants.
pytestmark = pytest.mark.filterwarnings("ignore:max_rollback_tokens:DeprecationWarning")

Schema = dict[str, Any]
THOUGHT = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>"


def text(**bounds: Any) -> Schema:
    return {"type": "string", **bounds}


def obj(*properties: Schema) -> Schema:
    named = {f"s{number}": schema for number, schema in enumerate(properties)}
    closed = {"required": list(named), "additionalProperties": False}
    return {"type": "object", "properties": named, **closed}


def asked(schema: Schema) -> dict[str, Any]:
    wanted = {"name": "x", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": wanted}}


@lru_cache(maxsize=64)
def compiled(tag: str) -> Any:
    return backend().dispatch_structural_tag(tag)


def held(schema: Schema) -> Any:
    """The grammar of a strict answer, where its JSON begins."""
    grammar = compiled(structural_tag(asked(schema)) or "").copy()
    for token in tokens(THOUGHT):
        grammar.accept_token(token)
    return grammar


def admitted(grammar: Any) -> npt.NDArray[np.int64]:
    mask = torch.full((1, (SIZE + 31) // 32), -1, dtype=torch.int32)
    grammar.fill_vocab_mask(mask, 0)
    bits = np.unpackbits(mask.numpy().view(np.uint8), bitorder="little")
    return np.flatnonzero(bits[:SIZE])


def slow(schema: Schema) -> ParameterSet:
    return pytest.param(schema, marks=pytest.mark.slow)


def admits(schema: Schema, value: str) -> bool:
    """Whether a strict answer may be `value` and then stop."""
    grammar = held(schema)
    try:
        for token in (*encode(value), STOP_IDS[0]):
            grammar.accept_token(token)
    except ValueError:
        return False
    return grammar.is_terminated()


@pytest.mark.parametrize(
    "bounds", [(0, 0), (0, 1), (3, 5), (0, 128), (0, 129), (7, 10_000), (200, None), (0, None)]
)
def test_a_pattern_says_the_bounds(bounds: tuple[int, int | None]) -> None:
    """Those that it was made of; a client's pattern says none."""
    assert length_bounds(length_pattern(*bounds)) == bounds
    assert length_bounds("^.{0,5}$") is None


@pytest.mark.parametrize("most", [1, 12, 48, 49, 500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_string_is_as_long_as_it_may_be_and_no_longer(most: int) -> None:
    """Spelled out or counted; a character is one, whatever its bytes."""
    for letter in ("a", "é", "😀"):
        assert admits(text(maxLength=most), f'"{letter * most}"')
        assert not admits(text(maxLength=most), f'"{letter * (most + 1)}"')


@pytest.mark.parametrize("escape", ['\\"', "\\n", "\\\\", "\\u00e9", "\\u2028"])
def test_an_escape_is_one_character_where_strings_are_spelled_out(escape: str) -> None:
    """A counted string may have it, too."""
    assert admits(text(minLength=2, maxLength=2), f'"{escape * 2}"')
    assert not admits(text(minLength=2, maxLength=2), f'"{escape}"')
    assert not admits(text(minLength=2, maxLength=2), f'"{escape * 3}"')
    assert admits(text(minLength=2, maxLength=500), f'"{escape * 20}"')
    assert not admits(text(minLength=2, maxLength=500), f'"{escape}"')


@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00", "\\ud83d\\ude00"])
def test_halves_of_a_character_are_not_written(half: str) -> None:
    """The character is: an escaped pair would count as two, and half of one is no text."""
    for most in (5, 500):
        assert not admits(text(maxLength=most), f'"{half}"')


@pytest.mark.parametrize(
    "schema",
    [
        obj(text(maxLength=3), text(maxLength=200)),
        obj(text(minLength=5, maxLength=9), text(minLength=100, maxLength=130)),
        slow(obj(*(text(minLength=most % 7, maxLength=most) for most in range(20, 220, 20)))),
        slow({"type": "array", "items": text(maxLength=110), "minItems": 1, "maxItems": 4}),
        slow(
            {
                "type": "object",
                "propertyNames": text(minLength=1, maxLength=120),
                "additionalProperties": text(maxLength=1),
                "minProperties": 1,
                "maxProperties": 3,
            }
        ),
    ],
)
def test_any_text_that_is_drawn_is_valid(schema: Schema) -> None:
    """Tokens by chance, long ones and escapes above all."""
    generator = random.Random(3)  # noqa: S311 - draws tokens
    texts = token_bytes()
    for _ in range(4):
        grammar, drawn = held(schema), list[int]()
        while not grammar.is_terminated():
            found = admitted(grammar)
            sample = [int(token) for token in generator.choices(found, k=4)]
            best = max(sample, key=lambda token: len(texts[token]) if token < FIRST_SPECIAL else 0)
            escapes = [token for token in encode('\\n\\u00e9"],:{}') if token in found]
            token = generator.choice([best, best, sample[0], *escapes[:1]])
            grammar.accept_token(token)
            drawn.append(token)
        value = json.loads(b"".join(texts[token] for token in drawn[:-1]))
        jsonschema.Draft202012Validator(schema).validate(value)


def test_a_schema_without_bounds_is_left_alone() -> None:
    """And a client's pattern: its dot is no line feed."""
    for schema in (text(), text(pattern="^.{0,5}$"), obj(text(enum=["^.{0,0}$"]))):
        tag = structural_tag(asked(schema)) or ""
        assert json.loads(with_bounded_strings(tag)) == json.loads(tag)
    assert not admits(text(pattern="^.{0,5}$"), '"\\n"')


def test_what_a_schema_says_in_words_does_not_become_grammar() -> None:
    """A value that looks like a rule of the grammar's own text."""
    rule = 'x ::= Regex("^.{0,0}.{0,9}$", json_string=true)'
    schema = obj(text(maxLength=500), text(enum=[rule, f"\n{rule}"]))
    for value in (rule, f"\n{rule}"):
        assert admits(schema, json.dumps({"s0": "a", "s1": value}))
    assert not admits(schema, '{"s0": "a", "s1": "x"}')


def test_the_grammar_compiles_without_the_vocabulary_too() -> None:
    """What is written is EBNF that xgrammar reads."""
    for schema in (text(maxLength=9), text(maxLength=9999), text(minLength=200)):
        tag = structural_tag(asked(schema)) or ""
        assert xgrammar.Grammar.from_structural_tag(with_bounded_strings(tag))

"""Markers inside JSON: the grammar admits no special token there, over gpt-oss's own vocabulary.

A marker's spelling is text like any other. Where a schema spells one, it is written in ordinary
tokens; where a model would end a string by a marker's token, it cannot.
"""

import json
import random
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import xgrammar
from transformers import AutoTokenizer

from tests.support.scripted_engine import tokens
from tests.worker.engine.test_constrained import SCHEMAS
from worker.api.chat import structural_tag
from worker.engine.bounded_strings import with_bounded_strings
from worker.engine.scheduler import grammar_vocabulary
from worker.harmony.vocabulary import (
    CALL,
    FIRST_SPECIAL,
    SIZE,
    STOP_IDS,
    encode,
    token_bytes,
)
from worker.model import DEMO_FOLDER

FINAL = "<|channel|>final<|message|>"
STEPS = 60
CLOSERS = [encode(text)[0] for text in ('"', '"}', "}", "]", '"]', "1")]


@lru_cache(maxsize=1)
def compiler() -> xgrammar.GrammarCompiler:
    """What the worker's scheduler compiles with."""
    tokenizer = AutoTokenizer.from_pretrained(str(DEMO_FOLDER))
    return xgrammar.GrammarCompiler(grammar_vocabulary(tokenizer, SIZE, list(STOP_IDS)))


def answer_format(schema: Any) -> dict[str, Any]:
    wanted = {"name": "x", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": wanted}}


def matcher(schema: Any) -> xgrammar.GrammarMatcher:
    """Of a strict answer by `schema`, where its JSON begins."""
    tag = structural_tag(answer_format(schema))
    assert tag is not None
    made = xgrammar.GrammarMatcher(compiler().compile_structural_tag(with_bounded_strings(tag)))
    assert all(made.accept_token(token) for token in tokens(FINAL))
    return made


def admitted(of: xgrammar.GrammarMatcher) -> npt.NDArray[np.int64]:
    """The ids that may come next."""
    mask = torch.full((1, (SIZE + 31) // 32), -1, dtype=torch.int32)
    of.fill_next_token_bitmask(mask)
    bits = np.unpackbits(mask.numpy().view(np.uint8), bitorder="little")
    return np.flatnonzero(bits[:SIZE])


def is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def walk(schema: Any, rng: random.Random) -> None:
    """A random generation, looked at before each of its tokens."""
    of, text = matcher(schema), b""
    for _ in range(STEPS):
        ids = admitted(of)
        special = set(ids[ids >= FIRST_SPECIAL].tolist())
        assert special in (set(), set(STOP_IDS)), (schema, text, special)
        assert not special or is_json(text), (schema, text)
        closers = [token for token in CLOSERS if token in ids]
        token = rng.choice(closers) if closers and rng.random() < 0.5 else int(rng.choice(ids))
        if token in STOP_IDS:
            return
        assert of.accept_token(token)
        text += token_bytes()[token]


SPELLED_MARKERS = {
    "enum": {"enum": ["<|end|>", "<|call|>x", 1]},
    "const": {"const": "<|channel|>final<|message|>"},
    "property": {
        "type": "object",
        "properties": {"<|end|>": {"type": "boolean"}},
        "required": ["<|end|>"],
        "additionalProperties": False,
    },
    "any": {"type": "object"},
    "long": {"type": "string", "minLength": 5, "maxLength": 200},
    "pattern": {"type": "string", "pattern": "^<\\|[a-z]+\\|>$"},
}


@pytest.mark.parametrize("name", [*SCHEMAS, *SPELLED_MARKERS])
def test_no_marker_is_admitted_before_the_json_is_complete(name: str) -> None:
    """At no step of random generations; and the ends, once it may end."""
    schema = SCHEMAS.get(name) or SPELLED_MARKERS[name]
    for seed in range(4):
        walk(schema, random.Random(f"{name} {seed}"))  # noqa: S311 - repeatable


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (SPELLED_MARKERS["enum"], "<|end|>"),
        (SPELLED_MARKERS["enum"], "<|call|>x"),
        (SPELLED_MARKERS["const"], "<|channel|>final<|message|>"),
        (SPELLED_MARKERS["property"], {"<|end|>": True}),
        (SPELLED_MARKERS["any"], {"<|start|>": ["<|return|>", "<|endoftext|>"]}),
        (SPELLED_MARKERS["pattern"], "<|end|>"),
    ],
)
def test_a_marker_that_the_schema_spells_is_written_in_ordinary_tokens(
    schema: Any, value: Any
) -> None:
    """As it is encoded; the grammar admits each, and then the end."""
    of = matcher(schema)
    assert all(of.accept_token(token) for token in encode(json.dumps(value)))
    assert of.accept_token(STOP_IDS[0])


def test_a_thousand_attempts_to_break_out_of_a_string_fail() -> None:
    """After any text, with any special token; and the string goes on as if none had been made."""
    rng = random.Random(1)  # noqa: S311 - repeatable
    of = matcher({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]})
    text = '{"a": "'
    assert all(of.accept_token(token) for token in encode(text))
    for _ in range(1000):
        assert not of.accept_token(rng.randrange(FIRST_SPECIAL, SIZE))
        assert of.accept_token(encode(rng.choice("abc <|>"))[0])
    assert of.accept_token(encode('"}')[0])
    assert of.accept_token(STOP_IDS[0])


def test_markers_are_told_by_their_ids_in_a_structural_tag() -> None:
    """The header of a call, token by token, with the ids that the model writes."""
    tool = {"type": "function", "function": {"name": "f", "strict": True}}
    tag = structural_tag({"tools": [tool], "tool_choice": "required"})
    assert tag is not None
    of = xgrammar.GrammarMatcher(compiler().compile_structural_tag(tag))
    header = "<|channel|>commentary to=functions.f <|constrain|>json<|message|>"
    assert all(of.accept_token(token) for token in [*tokens(header), *encode("{}"), CALL])

"""Constrained generation on the real engine: calls and answers that random tokens make are valid.

Every token is drawn at random among those that the grammar admits, so that nothing but the grammar
makes a call: not the model, which was trained to write good ones. jsonschema is the judge.
"""

import asyncio
import json
import sys
import time
from contextlib import aclosing
from typing import Any

import jsonschema
import pytest
from openai.types.chat import ChatCompletion
from openai.types.chat.chat_completion import Choice

from tests.conftest import RealWorker
from tests.support.noisy_engine import NoisyEngine
from worker.api.routes import route_for
from worker.errors import BadRequest
from worker.harmony.vocabulary import END, FIRST_SPECIAL, token_bytes
from worker.job_metrics import JobMetrics
from worker.service import Service

pytestmark = pytest.mark.slow

Schema = dict[str, Any]

AT_ONCE = 48
CALLS = 500
ANSWERS = 48
MAX_TOKENS = 1500

SHORT: Schema = {"type": "string", "maxLength": 6}
INT: Schema = {"type": "integer"}
BOOL: Schema = {"type": "boolean"}


def obj(properties: Schema, **more: Any) -> Schema:
    closed = {"required": list(properties), "additionalProperties": False}
    return {"type": "object", "properties": properties, **closed, **more}


def few(items: Schema, low: int = 0, high: int = 3) -> Schema:
    return {"type": "array", "items": items, "minItems": low, "maxItems": high}


TREE: Schema = {
    "type": "object",
    "properties": {"value": INT, "next": {"$ref": "#/$defs/tree"}},
    "required": ["value"],
    "additionalProperties": False,
}

SCHEMAS: dict[str, Schema] = {
    "a_string": obj({"s": SHORT}),
    "two_of_three": obj({"a": INT, "b": SHORT, "c": BOOL}, required=["a", "c"]),
    "nothing_required": obj({"a": INT, "b": BOOL}, required=[]),
    "nested": obj({"a": obj({"b": obj({"c": BOOL, "d": INT})})}),
    "an_enum": obj({"unit": {"type": "string", "enum": ["C", "F", "K"]}, "n": INT}),
    "a_mixed_enum": obj({"v": {"enum": [1, "one", None, True, {"x": [1, 2]}]}}),
    "a_constant": obj({"kind": {"const": 'é\n"x"'}, "n": {"const": 3}}),
    "a_nullable": obj({"s": {"type": ["string", "null"], "maxLength": 4}, "n": INT}),
    "any_of": obj({"v": {"anyOf": [INT, BOOL, {"type": "null"}]}}),
    "any_of_objects": obj({"v": {"anyOf": [obj({"a": INT}), obj({"b": SHORT})]}}),
    "one_of": obj({"v": {"oneOf": [obj({"k": {"const": 1}, "n": INT}), obj({"k": {"const": 2}})]}}),
    "a_ref": obj({"a": {"$ref": "#/$defs/p"}}, **{"$defs": {"p": obj({"x": INT, "y": INT})}}),
    "a_tree": obj({"root": {"$ref": "#/$defs/tree"}}, **{"$defs": {"tree": TREE}}),
    "integers_in_range": obj({"a": {**INT, "minimum": -17, "maximum": 123}}),
    "a_bound_below": obj({"a": {**INT, "exclusiveMinimum": 41}, "b": {**INT, "maximum": -3}}),
    "numbers_in_range": obj({"a": {"type": "number", "minimum": -1.5, "exclusiveMaximum": 2.25}}),
    "a_multiple": obj({"a": {**INT, "multipleOf": 15}}),
    "an_array": obj({"a": few(INT, 2, 4)}),
    "an_array_of_objects": obj({"a": few(obj({"x": BOOL, "y": SHORT}), 1, 2)}),
    "a_matrix": obj({"rows": few(few(INT, 2, 2), 1, 2)}),
    "a_tuple": obj({"t": {**few(BOOL, 2, 3), "prefixItems": [INT, SHORT]}}),
    "a_pattern": obj({"code": {"type": "string", "pattern": "^[A-Z]{2}-\\d{3}$"}}),
    "a_pattern_of_any": obj({"s": {"type": "string", "pattern": "^.{2,4}$|^x[^y]y$"}}),
    "lengths": obj({"s": {"type": "string", "minLength": 3, "maxLength": 5}}),
    "dates": obj({"t": {"type": "string", "format": "date-time"}}),
    "an_address": obj({"ip": {"type": "string", "format": "ipv4"}, "port": INT}),
    "an_id": obj({"id": {"type": "string", "format": "uuid"}}),
    "a_map": {
        "type": "object",
        "propertyNames": {"type": "string", "pattern": "^[a-z]{1,5}$"},
        "additionalProperties": INT,
        "minProperties": 1,
        "maxProperties": 3,
    },
    "some_properties": obj({"a": INT, "b": INT, "c": INT}, required=[], minProperties=2),
    "all_kinds": obj(
        {"s": SHORT, "i": INT, "b": BOOL, "z": {"type": "null"}, "l": few(SHORT, 0, 2)},
        title="All kinds",
        description="One of each.",
    ),
}


def likely() -> list[int]:
    """Tokens that end something: a free text, a time, a JSON string, an array, an object."""
    ends = {b'"', b"}", b"]", b'"}', b"]}", b"}}", b"1", b"Z", b'Z"'}
    return [
        END,
        *(token for token, text in enumerate(token_bytes()[:FIRST_SPECIAL]) if text in ends),
    ]


LIKELY = likely()


async def ask(real: RealWorker, seed: int, **fields: Any) -> Choice:
    body = {
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": MAX_TOKENS,
        **fields,
    }
    engine = NoisyEngine(real.engine, seed * 1_000_003 + 7, LIKELY)
    asked_alone = real.settings.model_copy(update={"header_grammar": False})
    noisy = Service(engine, real.model, asked_alone)
    async with aclosing(
        (await noisy.read(route_for("/v1/chat/completions"), body)).answer(JobMetrics())
    ) as batches:
        ((item,),) = [batch async for batch in batches]
    return ChatCompletion.model_validate(item).choices[0]


async def call(real: RealWorker, index: int) -> Choice:
    """A call that is forced: of one tool by its name, or of any of two."""
    names = sorted(SCHEMAS)
    first, second = names[index % len(names)], names[(index + 1) % len(names)]
    if index % len(names) % 2:
        choice: Any = {"type": "function", "function": {"name": first}}
        return await ask(real, index, tools=[strict(first)], tool_choice=choice)
    tools = [strict(first), strict(second)]
    return await ask(real, index, tools=tools, tool_choice="required")


def strict(name: str) -> dict[str, Any]:
    function = {"name": name, "parameters": SCHEMAS[name], "strict": True}
    return {"type": "function", "function": function}


async def answer(real: RealWorker, index: int) -> Choice:
    schema = {"name": "answer", "schema": SCHEMAS[answered(index)], "strict": True}
    form = {"type": "json_schema", "json_schema": schema}
    return await ask(real, 10_000 + index, response_format=form)


def answered(index: int) -> str:
    names = ["an_array_of_objects", "any_of", "numbers_in_range", "a_pattern", "all_kinds", "dates"]
    return names[index % len(names)]


async def many(real: RealWorker, work: Any, count: int) -> list[Choice]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(index: int) -> Choice:
        async with gate:
            return await work(real, index)

    return await asyncio.gather(*map(one, range(count)))


def problem(text: str, schema: Schema) -> str | None:
    """What is wrong with a JSON text, if anything is."""
    try:
        jsonschema.validate(json.loads(text), schema, jsonschema.Draft202012Validator)
    except (ValueError, jsonschema.ValidationError) as error:
        return f"{text[:200]!r}: {str(error)[:200]}"
    return None


@pytest.mark.timeout(1200)  # three minutes on a free machine
def test_forced_calls_are_valid(real: RealWorker, capsys: pytest.CaptureFixture[str]) -> None:
    """500 of 500, each one call of a tool on offer with arguments by its schema."""
    started = time.monotonic()
    choices = real.run(many(real, call, CALLS))
    problems, called, thought = list[str](), set[str](), 0
    for choice in choices:
        if choice.finish_reason != "tool_calls":
            problems.append(f"{choice.finish_reason}: {str(choice.message)[-200:]}")
            continue
        calls = choice.message.tool_calls or []
        assert len(calls) == 1
        assert calls[0].type == "function"
        function = calls[0].function
        called.add(function.name)
        thought += bool((choice.message.model_extra or {}).get("reasoning"))
        if found := problem(function.arguments, SCHEMAS[function.name]):
            problems.append(f"{function.name}: {found}")
    with capsys.disabled():
        print(
            f"\n{CALLS - len(problems)} of {CALLS} constrained calls valid, {len(called)} schemas, "
            f"{thought} after free reasoning, {time.monotonic() - started:.0f} s",
            file=sys.stderr,
        )
    assert problems == []
    assert called == SCHEMAS.keys()


def test_answers_by_a_schema_are_valid(
    real: RealWorker, capsys: pytest.CaptureFixture[str]
) -> None:
    """The content is the JSON and nothing else."""
    started = time.monotonic()
    choices = real.run(many(real, answer, ANSWERS))
    problems = [
        found
        for index, choice in enumerate(choices)
        if (found := problem(choice.message.content or "", SCHEMAS[answered(index)]))
        or (found := None if choice.finish_reason == "stop" else str(choice.finish_reason))
    ]
    with capsys.disabled():
        print(
            f"\n{ANSWERS - len(problems)} of {ANSWERS} constrained answers valid, "
            f"{time.monotonic() - started:.0f} s",
            file=sys.stderr,
        )
    assert problems == []


def test_without_the_grammar_the_same_noise_makes_no_call(real: RealWorker) -> None:
    """So it is the grammar that makes them."""
    tools = [strict("a_string")]
    choice = real.run(ask(real, 1, tools=[{**tools[0], "function": {"name": "x"}}], max_tokens=50))
    assert choice.finish_reason == "length"
    assert choice.message.tool_calls is None


def test_a_schema_that_cannot_be_held_is_refused_before_the_engine(real: RealWorker) -> None:
    """400, naming the keyword."""
    schema = {"type": "object", "not": {}}
    function = {"name": "x", "parameters": schema, "strict": True}
    body = {
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": function}],
    }
    with pytest.raises(BadRequest, match="'not'"):
        real.run(real.service.read(route_for("/v1/chat/completions"), body))

"""Which completions a request's grammar admits, checked with xgrammar token by token."""

import json
from functools import lru_cache
from typing import Any

import pytest
import xgrammar
from transformers import AutoTokenizer

from tests.support.scripted_engine import tokens
from worker.api.chat import structural_tag
from worker.api.chat.request import ChatRequest
from worker.api.fields import read
from worker.errors import BadRequest
from worker.harmony.vocabulary import SIZE, STOP_IDS
from worker.model import DEMO_FOLDER

LOCATION = {
    "type": "object",
    "properties": {"location": {"type": "string"}},
    "required": ["location"],
    "additionalProperties": False,
}
STRICT = {"name": "get_weather", "strict": True, "parameters": LOCATION}
LOOSE = {"name": "bash", "parameters": {"type": "object", "properties": {"cmd": {}}}}
TOOLS = [{"type": "function", "function": function} for function in (STRICT, LOOSE)]
SUM = {
    "type": "json_schema",
    "json_schema": {
        "name": "sum",
        "schema": {
            "type": "object",
            "properties": {"a": {"type": "integer"}},
            "required": ["a"],
            "additionalProperties": False,
        },
    },
}

THOUGHT = "<|channel|>analysis<|message|>Any {text} at all.\n<|end|><|start|>assistant"
PREAMBLE = "<|channel|>commentary<|message|>Let me look.<|end|><|start|>assistant"
WEATHER = (
    "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
    '{"location": "Paris"}'
)
WRONG = WEATHER.replace("location", "city")
BASH = '<|channel|>commentary to=functions.bash <|constrain|>json<|message|>{"cmd": "ls"}'
BASH_FREE = BASH.replace("cmd", "anything")
ANSWER = "<|channel|>final<|message|>It is sunny."
JSON = '<|channel|>final<|message|>{"a": 1}'
ANNOUNCED = '<|channel|>final <|constrain|>json<|message|>{\n  "a": 1\n}'
EVERYTHING = {
    "weather": WEATHER,
    "wrong": WRONG,
    "bash": BASH,
    "bash_free": BASH_FREE,
    "answer": ANSWER,
    "json": JSON,
    "announced": ANNOUNCED,
}


@lru_cache(maxsize=1)
def compiler() -> xgrammar.GrammarCompiler:
    tokenizer = AutoTokenizer.from_pretrained(str(DEMO_FOLDER))
    return xgrammar.GrammarCompiler(
        xgrammar.TokenizerInfo.from_huggingface(
            tokenizer, vocab_size=SIZE, stop_token_ids=list(STOP_IDS)
        )
    )


def admits(request: dict[str, Any], completion: str, *, headers: bool = False) -> bool:
    """Whether the request's grammar admits `completion` followed by a stop token."""
    tag = structural_tag(request, headers=headers)
    assert tag is not None
    matcher = xgrammar.GrammarMatcher(compiler().compile_structural_tag(tag))
    return all(matcher.accept_token(token) for token in [*tokens(completion), STOP_IDS[0]])


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def allowed(mode: str, name: str) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [function(name)]}}


@pytest.mark.parametrize(
    ("request_", "admitted"),
    [
        ({"tools": TOOLS, "tool_choice": "required"}, {"weather", "bash"}),
        ({"tools": TOOLS, "tool_choice": function("get_weather")}, {"weather"}),
        ({"tools": TOOLS, "tool_choice": function("bash")}, {"bash"}),
        ({"tools": TOOLS, "tool_choice": "none"}, {"answer", "json"}),
        ({"tools": TOOLS}, {"weather", "bash", "bash_free", "answer", "json"}),
        ({"tools": TOOLS, "tool_choice": allowed("required", "bash")}, {"bash"}),
        (
            {"tools": TOOLS, "tool_choice": allowed("auto", "bash")},
            {"bash", "bash_free", "answer", "json"},
        ),
        ({"response_format": SUM}, {"json", "announced"}),
        ({"response_format": {"type": "json_object"}}, {"json", "announced"}),
        ({"response_format": {"type": "json_object", "schema": None}}, {"json", "announced"}),
        (
            {"response_format": SUM, "tools": TOOLS},
            {"json", "announced", "weather", "bash", "bash_free"},
        ),
    ],
)
def test_the_grammar_admits_what_was_asked_for_and_nothing_else(
    request_: dict[str, Any], admitted: set[str]
) -> None:
    """Immediately, after reasoning, and after a preamble unless the answer may be JSON."""
    for lead in ("", THOUGHT, THOUGHT + PREAMBLE):
        found = {name for name, text in EVERYTHING.items() if admits(request_, lead + text)}
        spoils = "response_format" in request_ and PREAMBLE in lead
        assert found == (set() if spoils else admitted)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"tools": [TOOLS[1]]},
        {"tools": [TOOLS[1]], "tool_choice": "auto"},
        {"tool_choice": "none"},
        {"response_format": {"type": "text"}},
    ],
)
def test_nothing_is_constrained_unless_requested(request_: dict[str, Any]) -> None:
    """A grammar costs time."""
    assert structural_tag(request_) is None


def test_headers_alone_can_be_constrained() -> None:
    """A call of a tool on offer with any arguments, or an answer, but no other header."""
    request = {"tools": [TOOLS[1]]}
    for completion in (BASH, BASH_FREE, BASH + "}} and more", ANSWER, THOUGHT + PREAMBLE + BASH):
        assert admits(request, completion, headers=True)
        assert admits(request, f"{BASH}<|end|><|start|>assistant{completion}", headers=True)
    for completion in (WEATHER, BASH.replace(" <|constrain|>json", ""), "It is sunny.", THOUGHT):
        assert not admits(request, completion, headers=True)
    assert structural_tag({}, headers=True) is None


def json_schema(schema: Any, **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, **more}}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {"tools": TOOLS, "tool_choice": function("nope")},
            "names the tool 'nope', which is not in tools",
        ),
        ({"tool_choice": "required"}, "but tools is empty"),
        (
            {"response_format": json_schema({"not": {}}, strict=True)},
            "the keyword 'not'",
        ),
        (
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {"name": "f", "strict": True, "parameters": {"if": {}}},
                    }
                ]
            },
            "the keyword 'if'",
        ),
    ],
)
def test_what_cannot_be_enforced_is_rejected(request_: dict[str, Any], message: str) -> None:
    """Before any GPU work; the error names the keyword."""
    with pytest.raises(BadRequest, match=message):
        structural_tag(request_)


def test_a_forced_call_that_is_not_strict_follows_its_schema_if_possible() -> None:
    """If the schema cannot be enforced, it is any object."""
    loose = {"name": "bash", "parameters": {"type": "object", "not": {"required": ["x"]}}}
    tools = [{"type": "function", "function": loose}]
    assert admits({"tools": tools, "tool_choice": "required"}, BASH_FREE)


@pytest.mark.parametrize(
    ("schema", "answer", "other"),
    [
        ({"type": "object", "not": {}}, '{"a": 1}', "[1]"),
        ({"type": "array", "contains": {}}, "[1]", '{"a": 1}'),
        ({"type": "nonsense"}, '{"a": 1}', "[1]"),
        (None, '{"a": 1}', "[1]"),
    ],
)
def test_an_answer_that_is_not_strict_follows_its_schema_if_possible(
    schema: Any, answer: str, other: str
) -> None:
    """If the schema cannot be enforced, it is JSON of the schema's type."""
    request = {"response_format": json_schema(schema)}
    header = "<|channel|>final<|message|>"
    assert admits(request, header + answer)
    assert not admits(request, header + other)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": {"type": "magic"}}, "tool_choice"),
        ({"tool_choice": 5}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
    ],
)
def test_a_malformed_constraint_is_rejected_with_its_field(
    fields: dict[str, Any], param: str
) -> None:
    """Like any other malformed field."""
    body = {"messages": [{"role": "user", "content": "Hi"}], "tools": TOOLS, **fields}
    with pytest.raises(BadRequest) as caught:
        read(ChatRequest, body)
    assert caught.value.param == param


@pytest.mark.parametrize("choice", ["required", function("bash"), allowed("auto", "bash")])
def test_openais_forms_of_tool_choice_are_accepted(choice: Any) -> None:
    """A mode, a function, a subset."""
    body = {"messages": [{"role": "user", "content": "Hi"}], "tools": TOOLS, "tool_choice": choice}
    assert read(ChatRequest, {**body, "response_format": SUM}).tool_choice is not None


@pytest.mark.parametrize(
    ("outputs", "body"),
    [
        ({"regex": "[0-9]+"}, {"type": "regex", "pattern": "[0-9]+"}),
        ({"grammar": 'root ::= "a"'}, {"type": "grammar", "grammar": 'root ::= "a"'}),
        ({"choice": ["yes"]}, {"type": "const_string", "value": "yes"}),
    ],
)
def test_a_structured_output_constrains_the_final_body(
    outputs: dict[str, Any], body: dict[str, Any]
) -> None:
    """Analysis before it is unconstrained, and there is no preamble."""
    tag = structural_tag({"structured_outputs": outputs})
    assert tag is not None
    assert json.dumps(body) in tag
    assert "commentary" not in tag


def test_characters_that_xgrammar_cannot_read_are_replaced() -> None:
    """Half of an emoji and NUL, in a description or a value, become U+FFFD."""
    schema = {"description": "cut \ud83d", "enum": ["a\0b", "whole \U0001f600"]}
    request = {"response_format": json_schema(schema, strict=True)}
    for value in ("a\ufffdb", "whole \U0001f600"):
        assert admits(request, f'<|channel|>final<|message|>"{value}"')

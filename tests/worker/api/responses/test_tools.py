"""Tools: namespaces and custom tools, on their way to the model and back."""

from typing import Any

import pytest

from tests.support.responses import WEATHER, Object, answered, service, streamed
from tests.support.scripted_engine import ScriptedEngine, tokens
from worker.api.fields import read
from worker.api.responses import render_prompt
from worker.api.responses.request import ResponsesRequest
from worker.errors import BadRequest
from worker.harmony.conversation import Tool, Wanted
from worker.harmony.vocabulary import encoding

PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin Patch"'},
}
AGENTS = {
    "type": "namespace",
    "name": "multi_agent_v1",
    "description": "Other agents.",
    "tools": [
        {"type": "function", "name": "close_agent", "parameters": {"type": "object"}},
        {"type": "function", "name": "spawn_agent", "description": "Starts one."},
    ],
}
DEMO = {
    "type": "namespace",
    "name": "mcp__demo",
    "description": "A server.",
    "tools": [
        {"type": "function", "name": "spawn_agent"},
        {"type": "custom", "name": "note"},
    ],
}


def request(**fields: Any) -> ResponsesRequest:
    return read(ResponsesRequest, {"input": "Hi", **fields})


def wanted(**fields: Any) -> Wanted:
    return request(**fields).wanted()


def call(recipient: str, body: str, *tools: Object) -> Object:
    """The item of a call that the model makes, as its `output_item.done` has it."""
    harmony = f"<|channel|>commentary to={recipient} <|constrain|>json<|message|>{body}<|call|>"
    engine = ScriptedEngine(tokens(harmony))
    (made,) = answered(service(engine), {"input": "Hi", "tools": [*tools]})["output"]
    return made


def test_tools_are_functions_to_the_model() -> None:
    """A member of a namespace has the namespace before its name; a custom tool takes one string."""
    text = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    assert wanted(tools=[WEATHER, AGENTS, PATCH]).tools == [
        Tool("get_weather", "The weather now.", WEATHER["parameters"]),
        Tool("multi_agent_v1__close_agent", "", {"type": "object"}),
        Tool("multi_agent_v1__spawn_agent", "Starts one."),
        Tool(
            "apply_patch",
            'Edits files.\n\n`input` must follow this lark grammar:\nstart: "*** Begin Patch"',
            {**text, "additionalProperties": False},
        ),
    ]


@pytest.mark.parametrize(
    "recipient",
    [
        "functions.multi_agent_v1__close_agent",
        "multi_agent_v1.close_agent",
        "functions.multi_agent_v1.close_agent",
        "functions.close_agent",
    ],
)
def test_a_namespaced_call_goes_out_by_name_and_namespace(recipient: str) -> None:
    """However the model names it, if only one tool can be meant: Codex knows no other form."""
    made = call(recipient, "{}", AGENTS, DEMO)
    assert (made["type"], made["name"]) == ("function_call", "close_agent")
    assert made["namespace"] == "multi_agent_v1"


def test_a_name_of_two_namespaces_is_not_guessed() -> None:
    """The client tells the model."""
    made = call("functions.spawn_agent", "{}", AGENTS, DEMO)
    assert made["name"] == "spawn_agent"
    assert "namespace" not in made


def test_a_function_has_no_namespace() -> None:
    """Nor null: some clients take the field itself for one."""
    assert "namespace" not in call("functions.get_weather", "{}", WEATHER)


def test_a_custom_tool_is_called_with_its_text() -> None:
    """Un-escaped as it streams, under the events of custom tools."""
    harmony = (
        "<|channel|>commentary to=functions.apply_patch <|constrain|>json<|message|>"
        r'{"input": "*** Begin Patch\n+\"a\"\n"}<|call|>'
    )
    engine = ScriptedEngine(tokens(harmony))
    events = streamed(service(engine), {"input": "Hi", "tools": [PATCH]})
    deltas = [e["delta"] for e in events if e["type"] == "response.custom_tool_call_input.delta"]
    assert "".join(deltas) == '*** Begin Patch\n+"a"\n'
    assert len(deltas) > 3
    done = next(e for e in events if e["type"] == "response.custom_tool_call_input.done")
    assert done["input"] == "".join(deltas)
    (made,) = events[-1]["response"]["output"]
    assert made["type"] == "custom_tool_call"
    assert made["id"].startswith("ctc_")
    assert made["input"] == done["input"]
    assert "arguments" not in made


def test_a_custom_tool_of_a_namespace_has_both() -> None:
    """Text, and the namespace."""
    made = call("functions.mcp__demo__note", '{"input": "a"}', DEMO)
    assert (made["type"], made["name"], made["namespace"], made["input"]) == (
        "custom_tool_call", "note", "mcp__demo", "a",
    )  # fmt: skip


def test_bare_text_is_a_custom_tools_input() -> None:
    """The model was trained to send code so."""
    assert call("functions.apply_patch", "*** Begin Patch", PATCH)["input"] == "*** Begin Patch"


@pytest.mark.parametrize(
    "kind", ["web_search", "web_search_2025_08_26", "image_generation", "tool_search"]
)
def test_tools_that_codex_offers_unasked_are_left_out(kind: str) -> None:
    """Of the prompt and of what the response repeats."""
    fields = {"type": kind, "external_web_access": False}
    assert render_prompt({"input": "Hi", "tools": [fields]}) == render_prompt({"input": "Hi"})
    response = answered(service(), {"input": "Hi", "tools": [fields, WEATHER]})
    assert response["tools"] == [WEATHER]


def test_a_tool_that_is_left_out_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A client offers it in every request."""
    for _ in range(2):
        request(tools=[{"type": "web_search_of_this_test"}])
    assert caplog.messages == ["ignored a tool that OpenAI runs itself: 'web_search_of_this_test'"]


@pytest.mark.parametrize(
    ("choice", "calls", "among"),
    [
        ("auto", "auto", None),
        ("none", "none", None),
        (
            "required",
            "required",
            [
                "get_weather",
                "multi_agent_v1__close_agent",
                "multi_agent_v1__spawn_agent",
                "apply_patch",
            ],
        ),
        ({"type": "function", "name": "get_weather"}, "required", ["get_weather"]),
        (
            {"type": "function", "name": "close_agent"},
            "required",
            ["multi_agent_v1__close_agent"],
        ),
        (
            {"type": "function", "name": "close_agent", "namespace": "multi_agent_v1"},
            "required",
            ["multi_agent_v1__close_agent"],
        ),
        ({"type": "custom", "name": "apply_patch"}, "required", ["apply_patch"]),
        (
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "get_weather"}],
            },
            "auto",
            ["get_weather"],
        ),
    ],
)
def test_a_choice_says_whether_and_what_to_call(choice: Any, calls: str, among: Any) -> None:
    """In all of OpenAI's forms; the response repeats it."""
    asked = request(tools=[WEATHER, AGENTS, PATCH], tool_choice=choice)
    assert (asked.wanted().tool_choice, asked.wanted().among) == (calls, among)
    assert asked.shown()["tool_choice"] == choice


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"tools": [{"type": "file_search"}]},
            (
                "tools[0]: tools of type 'file_search' are not supported; offer a function that "
                "does it, got an object."
            ),
        ),
        (
            {"tools": [{"type": "function", "name": "get weather"}]},
            "tools[0].name must match pattern '^[a-zA-Z0-9_.\\-]{1,128}$', got \"get weather\".",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            (
                "tools[0] must have name, description and parameters beside type, not in function "
                "as in chat completions, got an object."
            ),
        ),
        (
            {"tools": [{**AGENTS, "tools": [{"type": "mcp"}]}]},
            (
                "tools[0].tools[0] must hold tools of type function or custom, not 'mcp', got an "
                "object."
            ),
        ),
        ({"tools": [5]}, "tools[0] must be an object with a type, not a number, got 5."),
        (
            {"tool_choice": "any"},
            (
                "tool_choice must be one of none, auto, required, or an object that names a tool, "
                'got "any".'
            ),
        ),
        (
            {"tool_choice": {"type": "web_search"}},
            (
                "tool_choice must be one of none, auto, required, or an object of type function, "
                "custom or allowed_tools, not 'web_search', got an object."
            ),
        ),
        (
            {"tool_choice": {"type": {"a": 1}}},
            (
                "tool_choice must be one of none, auto, required, or an object of type function, "
                "custom or allowed_tools, not an object, got an object."
            ),
        ),
    ],
)
def test_a_wrong_tool_is_named(fields: Object, message: str) -> None:
    """With its place in the request, what is accepted, and what it is."""
    with pytest.raises(BadRequest) as caught:
        request(**fields)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            {"type": "function", "name": "fly"},
            "tool_choice names the function tool 'fly', which is not in tools.",
        ),
        (
            {"type": "function", "name": "apply_patch"},
            "tool_choice names the function tool 'apply_patch', which is not in tools.",
        ),
    ],
)
def test_a_choice_of_what_is_not_offered_is_refused(choice: Object, message: str) -> None:
    """Before anything is generated."""
    with pytest.raises(BadRequest) as caught:
        wanted(tools=[PATCH], tool_choice=choice)
    assert caught.value.message == message


def test_a_call_cannot_be_required_without_tools() -> None:
    """400, as in chat."""
    with pytest.raises(BadRequest, match="tool_choice requires a tool call, but tools is empty"):
        wanted(tool_choice="required", tools=[{"type": "web_search"}])


def test_the_model_reads_a_flat_name_and_its_description() -> None:
    """In the developer message."""
    prompt = encoding().decode(render_prompt({"input": "Hi", "tools": [AGENTS]}))
    assert "type multi_agent_v1__close_agent = () => any;" in prompt
    assert "// Starts one.\ntype multi_agent_v1__spawn_agent" in prompt

"""Codex: requests as version 0.169 sends them, and what it needs of the answer.

The bodies were recorded on loopback and shortened.
"""

import json
from typing import Any

from tests.support.responses import Object, service, streamed
from tests.support.scripted_engine import ScriptedEngine, tokens
from worker.harmony.vocabulary import encoding

TOOLS: list[Object] = [
    {
        "type": "function",
        "name": "exec_command",
        "description": "Runs a command.",
        "strict": False,
        "parameters": {
            "type": "object",
            "properties": {"cmd": {"type": "string"}},
            "required": ["cmd"],
            "additionalProperties": False,
        },
    },
    {
        "type": "namespace",
        "name": "multi_agent_v1",
        "description": "Tools to work with other agents.",
        "tools": [
            {
                "type": "function",
                "name": "close_agent",
                "description": "Closes an agent.",
                "strict": False,
                "parameters": {"type": "object", "properties": {"id": {"type": "string"}}},
            }
        ],
    },
    {
        "type": "namespace",
        "name": "mcp__demo",
        "description": "",
        "tools": [{"type": "function", "name": "add", "parameters": {"type": "object"}}],
    },
    {"type": "web_search", "external_web_access": False},
]
FIRST: Object = {
    "model": "gpt-oss",
    "stream": True,
    "store": False,
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0199b3d5-7d9e-7c33-9d0e-000000000000",
    "reasoning": {"effort": "high", "summary": "auto"},
    "client_metadata": {"originator": "codex_cli_rs"},
    "tools": TOOLS,
    "input": [
        {
            "type": "message",
            "id": "msg_a",
            "role": "developer",
            "content": [{"type": "input_text", "text": "You are Codex."}],
        },
        {
            "type": "message",
            "id": "msg_b",
            "role": "developer",
            "content": [
                {"type": "input_text", "text": "<permissions>"},
                {"type": "input_text", "text": "Read only."},
            ],
        },
        {
            "type": "message",
            "id": "msg_c",
            "role": "user",
            "content": [{"type": "input_text", "text": "<environment_context>"}],
        },
        {
            "type": "message",
            "id": "msg_d",
            "role": "user",
            "content": [{"type": "input_text", "text": "List the files."}],
        },
    ],
}
THINK = "<|channel|>analysis<|message|>I list them.<|end|><|start|>assistant"
EXEC = (
    "<|channel|>commentary to=functions.exec_command <|constrain|>json<|message|>"
    '{"cmd": "ls"}<|call|>'
)
CLOSE = (
    "<|channel|>commentary to=functions.multi_agent_v1__close_agent <|constrain|>json<|message|>"
    '{"id": "7"}<|call|>'
)


def turn(body: Object, harmony: str) -> tuple[list[Object], str]:
    """The done items of a turn, and the prompt that the model read."""
    engine = ScriptedEngine(tokens(harmony), per_step=3)
    events = streamed(service(engine, reasoning_memory_mb=0), body)
    done = [e["item"] for e in events if e["type"] == "response.output_item.done"]
    return done, encoding().decode(engine.prompts[0])


def next_body(items: list[Object], *outputs: Object, **fields: Any) -> Object:
    """The next turn's request: Codex drops what it does not know of an item."""
    known = ("type", "id", "summary", "content", "encrypted_content", "status", "name")
    known += ("namespace", "arguments", "call_id", "input")
    sent = [{key: item[key] for key in known if key in item} for item in items]
    return {**FIRST, "input": [*FIRST["input"], *sent, *outputs], **fields}


def test_its_first_request_is_understood() -> None:
    """Developer messages join; namespaces are flat; the web search is not shown."""
    _, prompt = turn(FIRST, THINK + EXEC)
    assert "Reasoning: high" in prompt
    assert "# Instructions\n\nYou are Codex.\n\n<permissions>\nRead only." in prompt
    assert "type exec_command = " in prompt
    assert "type multi_agent_v1__close_agent = " in prompt
    assert "type mcp__demo__add = " in prompt
    assert "web_search" not in prompt
    assert "<|start|>user<|message|>List the files.<|end|><|start|>assistant" in prompt


def test_a_command_goes_out_and_its_result_comes_back() -> None:
    """A reasoning item has a summary, or Codex drops it without a word."""
    (reasoning, call), _ = turn(FIRST, THINK + EXEC)
    assert reasoning["summary"] == []
    assert (call["type"], call["name"]) == ("function_call", "exec_command")
    output = {
        "type": "function_call_output",
        "id": "fco_1",
        "call_id": call["call_id"],
        "output": "a.txt",
    }
    _, prompt = turn(next_body([reasoning, call], output), "<|channel|>final<|message|>a.txt")
    assert prompt.endswith(
        "<|start|>assistant<|channel|>analysis<|message|>I list them.<|end|>"
        "<|start|>assistant"
        + EXEC
        + "<|start|>functions.exec_command to=assistant<|channel|>commentary<|message|>a.txt<|end|>"
        "<|start|>assistant"
    )


def test_a_namespaced_call_makes_the_whole_way() -> None:
    """By name and namespace to Codex, by the flat name to the model."""
    (reasoning, call), _ = turn(FIRST, THINK + CLOSE)
    assert (call["name"], call["namespace"]) == ("close_agent", "multi_agent_v1")
    parts = [{"type": "input_text", "text": "closed"}]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": parts}
    _, prompt = turn(next_body([reasoning, call], output), "<|channel|>final<|message|>Done.")
    assert CLOSE in prompt
    assert "functions.multi_agent_v1__close_agent to=assistant" in prompt
    assert "<|message|>closed<|end|>" in prompt


def test_an_image_does_not_end_the_session() -> None:
    """`view_image` gives a data URL, in every later turn."""
    (reasoning, call), _ = turn(FIRST, THINK + EXEC)
    image = [{"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": image}
    _, prompt = turn(next_body([reasoning, call], output), "<|channel|>final<|message|>Hm.")
    assert "[image: gpt-oss reads only text]" in prompt


def test_a_patch_is_a_custom_tools_input() -> None:
    """As a `custom_tool_call`, or Codex aborts the call; it comes back as one."""
    patch = {
        "type": "custom",
        "name": "apply_patch",
        "description": "Edits files.",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: begin_patch"},
    }
    tools = [*TOOLS, patch, {"type": "tool_search", "execution": "client"}]
    text = '*** Begin Patch\n*** Add File: a\n+"x"\n*** End Patch'
    written = json.dumps({"input": text}, separators=(",", ":"))
    harmony = (
        "<|channel|>commentary to=functions.apply_patch <|constrain|>json<|message|>"
        f"{written}<|call|>"
    )
    (call,), _ = turn({**FIRST, "tools": tools}, harmony)
    assert (call["type"], call["input"]) == ("custom_tool_call", text)
    output = {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "ok"}
    _, prompt = turn(next_body([call], output, tools=tools), "<|channel|>final<|message|>Done.")
    assert harmony in prompt


def test_an_output_schema_holds_the_answer() -> None:
    """`--output-schema`."""
    schema = {
        "type": "object",
        "properties": {"files": {"type": "array", "items": {"type": "string"}}},
        "required": ["files"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "name": "codex_output_schema", "strict": True, "schema": schema}
    engine = ScriptedEngine(tokens('<|channel|>final<|message|>{"files": []}<|return|>'))
    body = {**FIRST, "text": {"format": form, "verbosity": "low"}}
    last = streamed(service(engine), body)[-1]["response"]
    assert last["text"] == {"format": {**form, "description": None}, "verbosity": "low"}
    assert "codex_output_schema" in encoding().decode(engine.prompts[0])
    assert '"files"' in (engine.samplings[0].structural_tag or "")


def test_compaction_is_a_request_like_any_other() -> None:
    """Without tools, after a history with calls of them."""
    (reasoning, call), _ = turn(FIRST, THINK + CLOSE)
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "closed"}
    ask = {"type": "message", "role": "user", "content": "You are performing a CONTEXT CHECKPOINT"}
    body = next_body([reasoning, call], output, ask, tools=[], parallel_tool_calls=False)
    _, prompt = turn(body, "<|channel|>final<|message|>Summary.")
    assert "to=functions.multi_agent_v1__close_agent" in prompt


def test_without_a_summary_reasoning_has_no_fields() -> None:
    """`model_reasoning_summary="none"` sends an empty object."""
    _, prompt = turn({**FIRST, "reasoning": {}}, THINK + EXEC)
    assert "Reasoning: medium" in prompt

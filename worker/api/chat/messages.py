"""The messages and tools of a chat completion request.

Rule: everything that OpenAI's clients send back must pass: `content` as null, a string or parts,
reasoning under either name, results in any order. What gpt-oss cannot read is refused by name.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from worker.api.fields import Fields, json_type
from worker.harmony import conversation

NAME = r"^[a-zA-Z0-9_.\-]{1,128}$"
"""Names of tools: OpenAI's characters, and the dots of namespaced tools."""


class TextPart(Fields):
    type: Literal["text", "input_text", "output_text"]
    text: str


class RefusalPart(Fields):
    type: Literal["refusal"]
    refusal: str


_Content = str | list[TextPart | RefusalPart] | None
"""What `_content` admits, for the OpenAPI document; its own errors say more."""


def _content(value: Any) -> Any:
    """Null, a string, or an array of parts, each with a text."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise ValueError("must be a string, an array of parts or null")
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("text", "input_text", "output_text"):
            _text(part.get("text"), "text")
        elif kind == "refusal":
            _text(part.get("refusal"), "refusal")
        elif isinstance(kind, str):
            raise ValueError(f"{kind!r} parts are not supported: gpt-oss reads text alone")
        else:
            raise ValueError(f"must hold parts with a type and a text, not {json_type(part)}")
    return value


def _text(value: Any, name: str) -> None:
    if not isinstance(value, str):
        raise ValueError(f"a part's {name} must be a string, not {json_type(value)}")


class FunctionCall(Fields):
    """The function that a call names. Arguments are JSON text; some clients send an object."""

    name: Annotated[str, Field(min_length=1)]
    arguments: str | dict[str, Any] | None = None


class ToolCall(Fields):
    id: str | None = None
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(Fields):
    """One message of the history, whoever wrote it."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[Any, BeforeValidator(_content, json_schema_input_type=_Content)] = None
    name: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None
    tool_call_id: str | None = None


class Function(Fields):
    name: Annotated[str, Field(pattern=NAME)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(Fields):
    """A tool on offer: a function of the client's."""

    type: Literal["function"]
    function: Function

    def tool(self) -> conversation.Tool:
        function = self.function
        return conversation.Tool(
            function.name,
            function.description or "",
            function.parameters,
            function.strict is True,
        )

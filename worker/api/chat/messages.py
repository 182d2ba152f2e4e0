"""The messages and tools of a chat completion request, and the conversation that they are.

Everything that OpenAI's clients send back must pass: `content` as null, a string or parts,
reasoning under either name, results in any order. What gpt-oss cannot read is refused by name.

Chat has one object for an assistant's whole turn, so its parts come in the order in which gpt-oss
writes them: reasoning, text, calls. Text beside a call is a preamble (commentary); without a call
it is the answer (final).
Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from worker.api.fields import Fields, json_type
from worker.harmony.conversation import (
    Called,
    Instruction,
    Message,
    Result,
    Said,
    Thought,
    Tool,
    User,
)

NAME = r"^[a-zA-Z0-9_.\-]{1,128}$"
"""Names of tools: OpenAI's characters, and the dots of namespaced tools."""


class TextPart(Fields):
    type: Literal["text", "input_text", "output_text"]
    text: str


class RefusalPart(Fields):
    type: Literal["refusal"]
    refusal: str


_Content = str | list[TextPart | RefusalPart] | None
"""What `_text_of` accepts, for the OpenAPI document; its own errors say more."""


def _text_of(content: Any) -> str:
    """The text of `content`: null, a string, or an array of parts (joined by newlines).

    Raises ValueError for anything else: `[{"type": "image_url", …}]`.
    """
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise ValueError("must be a string, an array of parts or null")
    return "\n".join(map(_part_text, content))


def _part_text(part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    match kind:
        case "text" | "input_text" | "output_text":
            name = "text"
        case "refusal":
            name = "refusal"
        case str():
            raise ValueError(f"{kind!r} parts are not supported: gpt-oss reads text only")
        case _:
            raise ValueError(f"must hold parts with a type and a text, not {json_type(part)}")
    text = part.get(name)
    if not isinstance(text, str):
        raise ValueError(f"a part's {name} must be a string, not {json_type(text)}")
    return text


class FunctionCall(Fields):
    """The function that a call names. Arguments are JSON text; some clients send an object."""

    name: Annotated[str, Field(min_length=1)]
    arguments: str | dict[str, Any] | None = None

    def called(self, call_id: str) -> Called:
        if isinstance(self.arguments, str):
            return Called(self.name, self.arguments, call_id)
        return Called(self.name, json.dumps(self.arguments or {}, ensure_ascii=False), call_id)


class ToolCall(Fields):
    id: str | None = None
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(Fields):
    """One message of the history, from any role."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[str, BeforeValidator(_text_of, json_schema_input_type=_Content)] = ""
    name: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None
    tool_call_id: str | None = None

    def messages(self, index: int) -> Iterator[Message]:
        """What this message says; `index` is its place in the request, for errors on it."""
        match self.role:
            case "system" | "developer":
                yield Instruction(self.content)
            case "user":
                yield User(self.content, self.name or "")
            case "tool" | "function":
                field = f"messages[{index}].tool_call_id"
                yield Result(self.content, self.tool_call_id or "", self.name or "", field)
            case "assistant":
                yield from self._turn()

    def _turn(self) -> Iterator[Message]:
        calls = list(self._calls())
        if reasoning := self.reasoning or self.reasoning_content:
            yield Thought(reasoning)
        if text := self.content or self.refusal:
            yield Said(text, "commentary" if calls else "final")
        yield from calls

    def _calls(self) -> Iterator[Called]:
        """The deprecated `function_call` has no id; its function's name stands in for one."""
        if function := self.function_call:
            yield function.called(function.name)
            return
        for call in self.tool_calls or ():
            yield call.function.called(call.id or "")


def history(messages: Sequence[ChatMessage]) -> list[Message]:
    """What all the messages say, in their order."""
    return [each for index, message in enumerate(messages) for each in message.messages(index)]


class Function(Fields):
    name: Annotated[str, Field(pattern=NAME)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(Fields):
    """A tool that the client offers."""

    type: Literal["function"]
    function: Function

    def tool(self) -> Tool:
        function = self.function
        return Tool(
            function.name,
            function.description or "",
            function.parameters,
            function.strict is True,
        )

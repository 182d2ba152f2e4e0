"""The messages and tools of a chat completion request, and their conversion to a conversation.

Everything that OpenAI's clients send back must be accepted: `content` as null, a string or parts,
reasoning under either name, results in any order. Content that gpt-oss cannot read is rejected with
an error that names its type.

A chat message is an assistant's whole turn and does not record the order of its parts, so they are
put in the order in which gpt-oss writes them: reasoning, text, calls. Text in a message with calls
is a preamble (commentary); otherwise it is the answer (final).
Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from worker.api.content_parts import ContentField, text_of
from worker.api.fields import TOOL_NAME, Fields
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


class FunctionCall(Fields):
    """The function of a tool call. Arguments are JSON text, but some clients send an object."""

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
    content: Annotated[str, BeforeValidator(text_of, json_schema_input_type=ContentField)] = ""
    name: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None
    tool_call_id: str | None = None

    def messages(self, index: int) -> Iterator[Message]:
        """Converts to conversation messages. `index`: the position in the request, for error
        messages."""
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
        """The deprecated `function_call` has no ID; the function's name is used instead."""
        if function := self.function_call:
            yield function.called(function.name)
            return
        for call in self.tool_calls or ():
            yield call.function.called(call.id or "")


def history(messages: Sequence[ChatMessage]) -> list[Message]:
    """Converts all messages to conversation messages, in order."""
    return [each for index, message in enumerate(messages) for each in message.messages(index)]


class Function(Fields):
    name: Annotated[str, Field(pattern=TOOL_NAME)]
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

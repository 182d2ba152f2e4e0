"""The messages of a chat, as the conversation that they are.

Chat has one object for all of an assistant's turn, so its parts come in the order in which gpt-oss
says them: the reasoning, what was said, the calls. What was said beside a call is a preamble
(commentary), and without one the answer (final).
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from worker.api.chat.messages import ChatMessage, FunctionCall
from worker.harmony import conversation as said

Json = Any  # A JSON value of the request, validated by worker.api.chat.messages.


def history(messages: Sequence[ChatMessage]) -> list[said.Message]:
    """What the messages say, in their order."""
    return [each for i, message in enumerate(messages) for each in _said(i, message)]


def _said(i: int, message: ChatMessage) -> Iterator[said.Message]:
    text = _text(message.content)
    match message.role:
        case "system" | "developer":
            yield said.Instruction(text)
        case "user":
            yield said.User(text, message.name or "")
        case "tool" | "function":
            field = f"messages[{i}].tool_call_id"
            yield said.Result(text, message.tool_call_id or "", message.name or "", field)
        case "assistant":
            yield from _turn(message, text or message.refusal or "")


def _turn(message: ChatMessage, text: str) -> Iterator[said.Message]:
    calls = list(_calls(message))
    if reasoning := message.reasoning or message.reasoning_content:
        yield said.Thought(reasoning)
    if text:
        yield said.Said(text, "commentary" if calls else "final")
    yield from calls


def _calls(message: ChatMessage) -> Iterator[said.Called]:
    """The calls of an assistant message; the deprecated `function_call` has its name for an id."""
    if function := message.function_call:
        yield said.Called(function.name, _arguments(function), function.name)
        return
    for call in message.tool_calls or ():
        yield said.Called(call.function.name, _arguments(call.function), call.id or "")


def _arguments(call: FunctionCall) -> str:
    """As JSON text; some clients send an object."""
    if isinstance(call.arguments, str):
        return call.arguments
    return json.dumps(call.arguments or {}, ensure_ascii=False)


def _text(content: Json) -> str:
    """The text of `content`: null, a string, or text parts (joined by newlines)."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or part.get("refusal") or "" for part in content)

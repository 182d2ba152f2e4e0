"""Converts the messages of a request to a conversation.

An assistant message is a whole turn: thinking, texts and calls, in the order in which the model
wrote them. Without calls, the last text is the answer (final); all other texts are commentary.

Thinking comes back as a signature (a capsule of the exact token IDs), as text, or as both. The
token IDs are preferred. If a signature cannot be opened, the text is used.
Source: https://docs.anthropic.com/en/api/messages.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from worker.api.anthropic.blocks import (
    AssistantBlock,
    RedactedThinkingBlock,
    SystemContent,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserBlock,
    as_blocks,
    choosing,
)
from worker.api.fields import Fields
from worker.harmony.capsule import Capsules
from worker.harmony.conversation import (
    Called,
    Instruction,
    Message,
    Result,
    Said,
    Tool,
    User,
)

_BILLING = "x-anthropic-billing-header:"
"""Claude Code's first system block is this header. In some versions its value changes with every
request, which would make the prefix cache useless."""


def instructions(blocks: Sequence[TextBlock]) -> str:
    """The text of a system prompt or a system message, without the billing header."""
    texts = (_without_billing(block.text) for block in blocks)
    return "\n".join(filter(None, texts))


def _without_billing(text: str) -> str:
    return text.partition("\n")[2] if text.startswith(_BILLING) else text


class UserMessage(Fields):
    role: Literal["user"]
    content: Annotated[
        list[UserBlock],
        BeforeValidator(as_blocks, json_schema_input_type=str | list[UserBlock]),
    ]

    def messages(self, index: int, tools: Mapping[str, Tool]) -> Iterator[Message]:
        """Results and texts in the order given. Adjacent texts become one message."""
        texts: list[str] = []
        for at, block in enumerate(self.content):
            if not isinstance(block, ToolResultBlock):
                texts.append(block.shown)
                continue
            if texts:
                yield User("\n".join(texts))
                texts = []
            field = f"messages[{index}].content[{at}].tool_use_id"
            yield _result(block, field, tools)
        if texts or not self.content:
            yield User("\n".join(texts))


def _result(block: ToolResultBlock, field: str, tools: Mapping[str, Tool]) -> Result:
    """The result of a call.

    If it refers to a tool that the request does not offer, because the client has removed it since,
    the model reads that the tool is not available.
    """
    known = [tools[name] for name in block.references if name in tools]
    gone = [f"[{name} is not available]" for name in block.references if name not in tools]
    text = "\n".join(filter(None, [block.shown, *gone]))
    return Result(text, block.tool_use_id, field=field, tools=known)


class AssistantMessage(Fields):
    role: Literal["assistant"]
    content: Annotated[
        list[AssistantBlock],
        BeforeValidator(as_blocks, json_schema_input_type=str | list[AssistantBlock]),
    ]

    @property
    def is_final(self) -> bool:
        """Whether it contains an answer. Thinking before that is never shown to the model again."""
        return self._final_at is not None

    @property
    def _final_at(self) -> int | None:
        """The index of its answer, or None."""
        if any(isinstance(block, ToolUseBlock) for block in self.content):
            return None
        said = (at for at, b in enumerate(self.content) if isinstance(b, TextBlock) and b.text)
        return max(said, default=None)

    def messages(self, capsules: Capsules | None) -> Iterator[Message]:
        """Its parts in order. Without `capsules`, thinking is left out."""
        for at, block in enumerate(self.content):
            match block:
                case TextBlock(text=text):
                    if text:
                        yield Said(text, "final" if at == self._final_at else "commentary")
                case ToolUseBlock(id=call_id, name=name):
                    yield Called(name, _arguments(block.input), call_id)
                case ThinkingBlock() | RedactedThinkingBlock() if capsules:
                    if thought := block.thought(capsules):
                        yield thought
                case _:
                    pass


def _arguments(value: Any) -> str:
    """A call's input as JSON text, as close to what the model wrote as possible: gpt-oss writes
    `{"city":"Paris"}` without spaces.

    Claude Code sends invalid JSON as `{"__unparsedToolInput": {"raw": "get_weather Paris"}}`.
    """
    match value:
        case None:
            return "{}"
        case {"__unparsedToolInput": {"raw": str(raw)}} if len(value) == 1:
            return raw
        case _:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class SystemMessage(Fields):
    """Instructions between other messages. Without content, it only carries settings."""

    role: Literal["system"]
    content: SystemContent = Field(default_factory=list[TextBlock])

    def messages(self) -> Iterator[Message]:
        """The instruction, unless it is empty."""
        if text := instructions(self.content):
            yield Instruction(text)


_ROLES: Mapping[str, type[Fields]] = {
    "user": UserMessage,
    "assistant": AssistantMessage,
    "system": SystemMessage,
}
AnyMessage = Annotated[
    UserMessage | AssistantMessage | SystemMessage,
    choosing("role", _ROLES, "a message"),
]
AnyMessages = Annotated[list[AnyMessage], Field(min_length=1)]


def history(
    messages: Sequence[UserMessage | AssistantMessage | SystemMessage],
    tools: Mapping[str, Tool],
    capsules: Capsules,
) -> Iterator[Message]:
    """Converts all messages, in order.

    Signatures before the last answer are not opened, since that thinking is not rendered.
    """
    finals = (i for i, m in enumerate(messages) if isinstance(m, AssistantMessage) and m.is_final)
    thinking_from = max(finals, default=-1) + 1
    for index, message in enumerate(messages):
        match message:
            case UserMessage():
                yield from message.messages(index, tools)
            case AssistantMessage():
                yield from message.messages(capsules if index >= thinking_from else None)
            case SystemMessage():
                yield from message.messages()

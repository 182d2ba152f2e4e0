"""The content blocks of messages.

A block states its `type`, and an error names the block by its position: `messages[2].content[0]`.
Images, documents and the blocks of Anthropic's own tools are rejected where a user or an assistant
sends them. In a tool result, an image or a document becomes a placeholder: the result is part of
the history, so rejecting it would end an agent's session.
Source: https://docs.anthropic.com/en/api/messages, and the types of the `anthropic` package.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from worker.api.content_parts import placeholder
from worker.api.fields import Fields, json_type, parsed_as
from worker.harmony.capsule import Capsules
from worker.harmony.conversation import Thought
from worker.json_depth import Json


class TextBlock(Fields):
    type: Literal["text"]
    text: str

    @property
    def shown(self) -> str:
        """What the model reads."""
        return self.text


class ThinkingBlock(Fields):
    """Reasoning from an earlier turn. `signature`: a capsule of its token IDs, or any text."""

    type: Literal["thinking"]
    thinking: str = ""
    signature: str | None = None

    def thought(self, capsules: Capsules) -> Thought | None:
        return capsules.thought(self.signature, self.thinking)


class RedactedThinkingBlock(Fields):
    """Reasoning without its text. `data`: a capsule, or any text."""

    type: Literal["redacted_thinking"]
    data: str = ""

    def thought(self, capsules: Capsules) -> Thought | None:
        return capsules.thought(self.data, "")


class ToolUseBlock(Fields):
    """A call. `input` is any JSON value, since it is what the client made of the model's text."""

    type: Literal["tool_use"]
    id: str
    name: Annotated[str, Field(min_length=1)]
    input: Any = None


class SearchResultBlock(Fields):
    """A search result that the client provides."""

    type: Literal["search_result"]
    source: str = ""
    title: str = ""
    content: list[TextBlock] = Field(default_factory=list[TextBlock])

    @property
    def shown(self) -> str:
        """What the model reads: the title, the source and the texts, each on its own line."""
        texts = [self.title, self.source, *(block.text for block in self.content)]
        return "\n".join(filter(None, texts))


class UnreadBlock(Fields):
    """Part of a tool result that gpt-oss cannot read."""

    type: Literal["image", "document", "browser_state"]

    @property
    def shown(self) -> str:
        """The placeholder that the model reads instead."""
        return placeholder(self.type)


class ToolReferenceBlock(Fields):
    """A deferred tool that a search found."""

    type: Literal["tool_reference"]
    tool_name: str


def choosing(field: str, models: Mapping[str, type[Fields]], what: str) -> BeforeValidator:
    """A validator that parses an object as the model that its `field` names.

    `what` describes such an object in errors: `a content block`. A missing field and one that names
    no model are errors.
    """

    def model_of(value: Json) -> type[Fields]:
        kind: Json = value.get(field) if isinstance(value, Mapping) else None
        if not isinstance(kind, str):
            raise ValueError(f"must be {what} with a {field}, not {json_type(value)}")
        if kind not in models:
            raise ValueError(_refusal(field, kind[:60], models))
        return models[kind]

    return parsed_as(model_of)


def _refusal(field: str, kind: str, models: Mapping[str, type[Fields]]) -> str:
    if kind in ("image", "document", "container_upload"):
        return f"{kind!r} blocks are not supported: gpt-oss reads text only"
    if kind.endswith(("tool_use", "tool_result")) and kind not in ("tool_use", "tool_result"):
        return f"{kind!r} blocks are not supported: this server runs no tools itself"
    return f"{field} {kind!r} is not supported here; use one of {', '.join(models)}"


def as_blocks(content: Json) -> Json:
    """Content as a list of blocks: a string is one text block, null is an empty list."""
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise ValueError("must be a string or an array of content blocks")
    return content


_RESULT_PARTS: Mapping[str, type[Fields]] = {
    "text": TextBlock,
    "search_result": SearchResultBlock,
    "tool_reference": ToolReferenceBlock,
    **dict.fromkeys(("image", "document", "browser_state"), UnreadBlock),
}
ResultPart = Annotated[
    TextBlock | SearchResultBlock | ToolReferenceBlock | UnreadBlock,
    choosing("type", _RESULT_PARTS, "a content block"),
]


class ToolResultBlock(Fields):
    """The result of a call."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: Annotated[
        list[ResultPart],
        BeforeValidator(as_blocks, json_schema_input_type=str | list[ResultPart] | None),
    ] = Field(default_factory=list[ResultPart])
    is_error: bool | None = None

    @property
    def shown(self) -> str:
        """What the model reads. An error without content becomes the word `error`."""
        parts = [each for each in self.content if not isinstance(each, ToolReferenceBlock)]
        text = "\n".join(part.shown for part in parts)
        return text or ("error" if self.is_error and not self.references else "")

    @property
    def references(self) -> list[str]:
        """The names of the deferred tools that it shows to the model."""
        return [each.tool_name for each in self.content if isinstance(each, ToolReferenceBlock)]


_USER: Mapping[str, type[Fields]] = {
    "text": TextBlock,
    "tool_result": ToolResultBlock,
    "search_result": SearchResultBlock,
}
_ASSISTANT: Mapping[str, type[Fields]] = {
    "text": TextBlock,
    "thinking": ThinkingBlock,
    "redacted_thinking": RedactedThinkingBlock,
    "tool_use": ToolUseBlock,
}
UserBlock = Annotated[
    TextBlock | ToolResultBlock | SearchResultBlock,
    choosing("type", _USER, "a content block"),
]
AssistantBlock = Annotated[
    TextBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock,
    choosing("type", _ASSISTANT, "a content block"),
]
SystemBlock = Annotated[TextBlock, choosing("type", {"text": TextBlock}, "a content block")]
SystemContent = Annotated[
    list[SystemBlock],
    BeforeValidator(as_blocks, json_schema_input_type=str | list[SystemBlock] | None),
]
"""The content of the system prompt, and of a system message."""

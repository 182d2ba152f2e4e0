"""The input items of a Responses request, and the conversation that they are.

Everything that clients send back must pass: items with and without `id`, `status` and `type`,
reasoning with any of its fields, results as text or parts. Items are kept in one form (`stored`),
as the API itself returns them, so a stored response can be continued from its items.

An assistant's message says by its `phase` whether it is a preamble (commentary) or the answer.
Without one it is a preamble if a call follows in the same turn.
Source: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from worker.api.content_parts import ContentField, text_of, text_of_result
from worker.api.dialect import Object
from worker.api.fields import Fields, json_type, parsed_as
from worker.api.responses.tools import OfferedTools, arguments_of
from worker.errors import BadRequest
from worker.harmony.capsule import Capsules
from worker.harmony.conversation import (
    Called,
    Instruction,
    Message,
    Phase,
    Result,
    Said,
    Thought,
    User,
)

Content = Annotated[str, BeforeValidator(text_of, json_schema_input_type=ContentField)]
Status = str | None


class MessageItem(Fields):
    """What somebody said."""

    type: Literal["message"] = "message"
    id: str | None = None
    status: Status = None
    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    phase: Literal["commentary", "final_answer"] | None = None

    def stored(self, item_id: str) -> Object:
        kind = "output_text" if self.role == "assistant" else "input_text"
        part: Object = {"type": kind, "text": self.content}
        if self.role == "assistant":
            part |= {"annotations": [], "logprobs": []}
        item: Object = {
            "id": self.id or item_id,
            "type": self.type,
            "role": self.role,
            "status": "completed",
            "content": [part],
        }
        return item | ({"phase": self.phase} if self.phase else {})


def _reasoning_text(parts: Any) -> str:
    """The text of reasoning's `content` or `summary`: null, or parts with a text."""
    if parts is None or isinstance(parts, str):
        return parts or ""
    if not isinstance(parts, list):
        raise ValueError("must be an array of parts or null")
    return "\n".join(map(_part_text, parts))


def _part_text(part: Any) -> str:
    text = part.get("text") if isinstance(part, dict) else None
    if not isinstance(text, str):
        raise ValueError("must hold parts with a text")
    return text


_Parts = list[dict[str, Any]] | None
ReasoningText = Annotated[str, BeforeValidator(_reasoning_text, json_schema_input_type=_Parts)]


class ReasoningItem(Fields):
    """A message of the analysis channel, as its exact token IDs (a capsule), as text, or both."""

    type: Literal["reasoning"]
    id: str | None = None
    status: Status = None
    content: ReasoningText = ""
    summary: ReasoningText = ""
    encrypted_content: str | None = None

    def stored(self, item_id: str) -> Object:
        content = [{"type": "reasoning_text", "text": self.content}] if self.content else []
        summary = [{"type": "summary_text", "text": self.summary}] if self.summary else []
        return {
            "id": self.id or item_id,
            "type": self.type,
            "status": "completed",
            "summary": summary,
            "content": content,
            "encrypted_content": self.encrypted_content,
        }

    def thought(self, capsules: Capsules) -> Thought | None:
        return capsules.thought(self.encrypted_content, self.content or self.summary)


class _CallItem(Fields):
    """What calls of functions and of custom tools have in common."""

    id: str | None = None
    status: Status = None
    call_id: str
    name: Annotated[str, Field(min_length=1)]
    namespace: str | None = None

    def _stored(self, item_id: str, kind: str, **text: str) -> Object:
        item: Object = {
            "id": self.id or item_id,
            "type": kind,
            "status": "completed",
            "call_id": self.call_id,
            "name": self.name,
            **text,
        }
        return item | ({"namespace": self.namespace} if self.namespace else {})

    def _called(self, tools: OfferedTools, arguments: str) -> Called:
        return Called(tools.flat(self.name, self.namespace), arguments, self.call_id)


class FunctionCallItem(_CallItem):
    """A call of a function. `arguments` are rendered as they came."""

    type: Literal["function_call"]
    arguments: str

    def stored(self, item_id: str) -> Object:
        return self._stored(item_id, self.type, arguments=self.arguments)

    def called(self, tools: OfferedTools) -> Called:
        return self._called(tools, self.arguments)


class CustomCallItem(_CallItem):
    """A call of a custom tool."""

    type: Literal["custom_tool_call"]
    input: str

    def stored(self, item_id: str) -> Object:
        return self._stored(item_id, self.type, input=self.input)

    def called(self, tools: OfferedTools) -> Called:
        return self._called(tools, arguments_of(self.input))


_Output = str | list[dict[str, Any]] | None


class CallOutputItem(Fields):
    """What a call returned. `name` is for a result whose call the client left out."""

    type: Literal["function_call_output", "custom_tool_call_output"]
    id: str | None = None
    status: Status = None
    call_id: str
    name: str | None = None
    output: Annotated[str, BeforeValidator(text_of_result, json_schema_input_type=_Output)]

    def stored(self, item_id: str) -> Object:
        item: Object = {
            "id": self.id or item_id,
            "type": self.type,
            "status": "completed",
            "call_id": self.call_id,
            "output": self.output,
        }
        return item | ({"name": self.name} if self.name else {})


class ItemReference(Fields):
    """An item of a stored response."""

    type: Literal["item_reference"]
    id: Annotated[str, Field(min_length=1)]


class SearchCallItem(Fields):
    """A web search that another provider ran: it is part of a history and says nothing."""

    type: Literal["web_search_call"]


KeptItem = MessageItem | ReasoningItem | FunctionCallItem | CustomCallItem | CallOutputItem
ResolvedItem = KeptItem | SearchCallItem
Item = ResolvedItem | ItemReference

_MODELS: Mapping[str, type[Fields]] = {
    "message": MessageItem,
    "reasoning": ReasoningItem,
    "function_call": FunctionCallItem,
    "custom_tool_call": CustomCallItem,
    "function_call_output": CallOutputItem,
    "custom_tool_call_output": CallOutputItem,
    "item_reference": ItemReference,
    "web_search_call": SearchCallItem,
}


def _with_type(value: Any) -> Any:
    """Adds the type that may be missing: `{"role": …}` is a message, `{"id": …}` a reference."""
    if not isinstance(value, dict) or value.get("type") is not None:
        return value
    if "role" in value:
        return {**value, "type": "message"}
    return {**value, "type": "item_reference"} if value.keys() == {"id"} else value


def _model(value: Any) -> type[Fields]:
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str):
        got = "an object without one" if isinstance(value, dict) else json_type(value)
        raise ValueError(f"must be an item with a type, not {got}")
    if kind not in _MODELS:
        raise ValueError(
            f"items of type {kind[:40]!r} are not supported; omit it, or send it as text"
        )
    return _MODELS[kind]


ItemField = Annotated[Item, parsed_as(_model), BeforeValidator(_with_type)]


def as_items(value: Any) -> Any:
    """An `input` that is a string is what the user says."""
    if not value and isinstance(value, str | list):
        raise ValueError("must not be empty")
    return [{"role": "user", "content": value}] if isinstance(value, str) else value


def messages(
    items: Sequence[ResolvedItem], tools: OfferedTools, capsules: Capsules, *, before: int = 0
) -> list[Message]:
    """The conversation that `items` are. Raises BadRequest for a result without a call.

    The first `before` items are not the request's own, so its errors count from there.
    """
    phases: list[Phase | None] = [_phase(items, index) for index in range(len(items))]
    answered = max((index for index, phase in enumerate(phases) if phase == "final"), default=-1)
    found: list[Message] = []
    calls: set[str] = set()
    for index, item in enumerate(items):
        match item:
            case MessageItem(role="user", content=text):
                found.append(User(text))
            case MessageItem(role="assistant", content=text):
                if (phase := phases[index]) is not None:
                    found.append(Said(text, phase))
            case MessageItem(content=text):
                found.append(Instruction(text))
            case ReasoningItem():
                # The renderer drops reasoning before the last answer: it is not even opened
                thought = item.thought(capsules) if index > answered else None
                found += [thought] if thought else []
            case FunctionCallItem() | CustomCallItem():
                calls.add(item.call_id)
                found.append(item.called(tools))
            case CallOutputItem():
                found.append(_result(item, calls, f"input[{index - before}].call_id"))
            case SearchCallItem():
                pass
    return found


def _result(item: CallOutputItem, calls: set[str], field: str) -> Result:
    if item.call_id not in calls and not item.name:
        kind = "custom tool call" if item.type.startswith("custom") else "function call"
        raise BadRequest(
            f"No tool call found for {kind} output with call_id {item.call_id[:80]}. Send the call "
            "before its output, or previous_response_id.",
            param=field,
        )
    return Result(item.output, item.call_id, item.name or "", field)


def _phase(items: Sequence[ResolvedItem], index: int) -> Phase | None:
    """Whether an assistant's message is a preamble or an answer; None for all other items."""
    item = items[index]
    if not isinstance(item, MessageItem) or item.role != "assistant" or not item.content:
        return None
    if item.phase is not None:
        return "commentary" if item.phase == "commentary" else "final"
    for following in _rest_of_turn(items, index + 1):
        if isinstance(following, FunctionCallItem | CustomCallItem):
            return "commentary"
    return "final"


def _rest_of_turn(items: Sequence[ResolvedItem], start: int) -> Iterator[ResolvedItem]:
    """The assistant's items from `start` to the first that is somebody else's."""
    for at in range(start, len(items)):
        item = items[at]
        if isinstance(item, CallOutputItem):
            return
        if isinstance(item, MessageItem) and item.role != "assistant":
            return
        yield item

"""The Responses API's objects and events, as types with exactly the fields that the worker sends.

Rule: closed, as in `answers.py`.
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from builder.openapi.answers import Count, ErrorObject, Seconds, TokenLogprob, closed

ItemStatus = Literal["in_progress", "completed", "incomplete"]


@closed
class ReasoningPart(TypedDict):
    type: Literal["reasoning_text"]
    text: str


@closed
class OutputTextPart(TypedDict):
    type: Literal["output_text"]
    text: str
    annotations: Annotated[list[Any], Field(max_length=0)]
    logprobs: list[TokenLogprob]


@closed
class ReasoningOutputItem(TypedDict):
    """`encrypted_content` is a capsule of the exact token IDs, and null until the item is done."""

    id: str
    type: Literal["reasoning"]
    status: ItemStatus
    summary: Annotated[list[Any], Field(max_length=0)]
    content: list[ReasoningPart]
    encrypted_content: str | None


@closed
class MessageOutputItem(TypedDict):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: ItemStatus
    phase: Literal["commentary", "final_answer"]
    content: list[OutputTextPart]


@closed
class FunctionCallOutputItem(TypedDict):
    id: str
    type: Literal["function_call"]
    status: ItemStatus
    call_id: str
    name: str
    namespace: NotRequired[str]
    arguments: Annotated[str, Field(description="JSON text.")]


@closed
class CustomCallOutputItem(TypedDict):
    id: str
    type: Literal["custom_tool_call"]
    status: ItemStatus
    call_id: str
    name: str
    namespace: NotRequired[str]
    input: str


MadeItem = ReasoningOutputItem | MessageOutputItem | FunctionCallOutputItem | CustomCallOutputItem


@closed
class ResponseFailure(TypedDict):
    code: Literal[
        "context_length_exceeded", "invalid_prompt", "rate_limit_exceeded", "server_error"
    ]
    message: str


@closed
class Incompleteness(TypedDict):
    reason: Literal["max_output_tokens"]


@closed
class InputTokensDetails(TypedDict):
    cached_tokens: Count
    cache_write_tokens: Count


@closed
class OutputTokensDetails(TypedDict):
    reasoning_tokens: Count


@closed
class ResponseUsage(TypedDict):
    input_tokens: Count
    input_tokens_details: InputTokensDetails
    output_tokens: Count
    output_tokens_details: OutputTokensDetails
    total_tokens: Count


@closed
class ReasoningShown(TypedDict):
    effort: str | None
    summary: str | None
    context: Literal["current_turn"]


@closed
class ResponseObject(TypedDict):
    """A response. Most fields repeat the request's, or have their default."""

    id: str
    object: Literal["response"]
    created_at: Seconds
    completed_at: Seconds | None
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    model: str
    output: list[MadeItem]
    error: ResponseFailure | None
    incomplete_details: Incompleteness | None
    usage: ResponseUsage | None
    store: Annotated[bool, Field(description="Whether it is stored.")]
    background: Literal[False]
    instructions: str | None
    max_output_tokens: Count | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: ReasoningShown
    safety_identifier: str | None
    service_tier: Literal["default"]
    temperature: float
    top_p: float
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: Count
    presence_penalty: float
    frequency_penalty: float
    truncation: Literal["auto", "disabled"]
    user: str | None


@closed
class LifecycleEvent(TypedDict):
    type: Literal[
        "response.created",
        "response.in_progress",
        "response.completed",
        "response.incomplete",
        "response.failed",
    ]
    sequence_number: Count
    response: ResponseObject


@closed
class ItemEvent(TypedDict):
    type: Literal["response.output_item.added", "response.output_item.done"]
    sequence_number: Count
    output_index: Count
    item: MadeItem


class _InItem(TypedDict):
    sequence_number: Count
    item_id: str
    output_index: Count


@closed
class PartEvent(_InItem):
    type: Literal["response.content_part.added", "response.content_part.done"]
    content_index: Literal[0]
    part: ReasoningPart | OutputTextPart


@closed
class OutputTextDelta(_InItem):
    type: Literal["response.output_text.delta"]
    content_index: Literal[0]
    delta: str
    logprobs: list[TokenLogprob]


@closed
class OutputTextDone(_InItem):
    type: Literal["response.output_text.done"]
    content_index: Literal[0]
    text: str
    logprobs: list[TokenLogprob]


@closed
class ReasoningDelta(_InItem):
    type: Literal["response.reasoning_text.delta"]
    content_index: Literal[0]
    delta: str


@closed
class ReasoningDone(_InItem):
    type: Literal["response.reasoning_text.done"]
    content_index: Literal[0]
    text: str


@closed
class CallDeltaEvent(_InItem):
    type: Literal["response.function_call_arguments.delta", "response.custom_tool_call_input.delta"]
    delta: str


@closed
class ArgumentsDone(_InItem):
    type: Literal["response.function_call_arguments.done"]
    name: str
    arguments: str


@closed
class CustomInputDone(_InItem):
    type: Literal["response.custom_tool_call_input.done"]
    input: str


@closed
class ErrorEvent(TypedDict):
    """An error within a stream; `response.failed` follows."""

    type: Literal["error"]
    sequence_number: Count
    code: str | None
    message: str
    param: str | None
    error: ErrorObject


@closed
class DeletedResponse(TypedDict):
    id: str
    object: Literal["response"]
    deleted: Literal[True]


@closed
class InputItemList(TypedDict):
    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


@closed
class InputTokens(TypedDict):
    object: Literal["response.input_tokens"]
    input_tokens: Count


RESPONSE_EVENTS: tuple[Any, ...] = (
    *(LifecycleEvent, ItemEvent, PartEvent, OutputTextDelta, OutputTextDone),
    *(ReasoningDelta, ReasoningDone, CallDeltaEvent, ArgumentsDone, CustomInputDone, ErrorEvent),
)
RESPONSE_OBJECTS: tuple[Any, ...] = (
    *(ResponseObject, DeletedResponse, InputItemList, InputTokens),
    *RESPONSE_EVENTS,
)

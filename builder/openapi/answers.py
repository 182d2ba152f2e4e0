"""The HTTP API's responses, as types with exactly the fields that it sends.

Rule: closed. A field that is not here is a bug of the worker or of this file.
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from worker.engine import Health

closed = with_config(ConfigDict(extra="forbid"))
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[int, Field(ge=0, description="Seconds since the epoch.")]
LogProbability = Annotated[float, Field(le=0)]


@closed
class ErrorObject(TypedDict):
    message: str
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: Annotated[str | None, Field(description="The invalid field.")]
    code: str | None


@closed
class Error(TypedDict):
    """An error, as a body or as an event of a stream."""

    error: ErrorObject


@closed
class PromptTokensDetails(TypedDict):
    cached_tokens: Count


@closed
class CompletionTokensDetails(TypedDict):
    reasoning_tokens: Count


@closed
class Usage(TypedDict):
    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


@closed
class TopLogprob(TypedDict):
    token: str
    logprob: LogProbability
    bytes: list[Annotated[int, Field(ge=0, le=255)]]


@closed
class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


@closed
class Logprobs(TypedDict):
    """Log probabilities of the tokens of `content`."""

    content: list[TokenLogprob]
    refusal: None


@closed
class CalledFunction(TypedDict):
    name: str
    arguments: Annotated[str, Field(description="JSON text.")]


@closed
class MadeCall(TypedDict):
    id: str
    type: Literal["function"]
    function: CalledFunction


@closed
class AssistantMessage(TypedDict):
    """`content` is null if there are only tool calls or reasoning."""

    role: Literal["assistant"]
    content: str | None
    reasoning: str | None
    reasoning_content: Annotated[str | None, Field(description="The same as `reasoning`.")]
    refusal: None
    tool_calls: list[MadeCall] | None


FinishReason = Literal["stop", "length", "tool_calls"]


@closed
class ChatChoice(TypedDict):
    index: Count
    message: AssistantMessage
    logprobs: Logprobs | None
    finish_reason: FinishReason


@closed
class ChatCompletion(TypedDict):
    id: str
    object: Literal["chat.completion"]
    created: Seconds
    model: str
    choices: list[ChatChoice]
    usage: Usage


@closed
class CalledFunctionDelta(TypedDict):
    name: NotRequired[str]
    arguments: str


@closed
class CallDelta(TypedDict):
    """A call begins with its id and name; pieces of its arguments follow."""

    index: Count
    id: NotRequired[str]
    type: NotRequired[Literal["function"]]
    function: CalledFunctionDelta


@closed
class Delta(TypedDict, total=False):
    role: Literal["assistant"]
    content: str | None
    reasoning: str
    reasoning_content: str
    tool_calls: list[CallDelta]


@closed
class ChatChunkChoice(TypedDict):
    index: Count
    delta: Delta
    logprobs: Logprobs | None
    finish_reason: FinishReason | None


@closed
class ChatCompletionChunk(TypedDict):
    """`usage` is only in the last chunk, if `stream_options` asks for it."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: Seconds
    model: str
    choices: list[ChatChunkChoice]
    usage: NotRequired[Usage | None]


@closed
class TextLogprobs(TypedDict):
    """OpenAI's legacy format: four lists of the same length."""

    tokens: list[str]
    token_logprobs: list[LogProbability]
    top_logprobs: list[dict[str, LogProbability]]
    text_offset: list[Count]


@closed
class TextChoice(TypedDict):
    index: Count
    text: str
    logprobs: TextLogprobs | None
    finish_reason: Literal["stop", "length"]


@closed
class TextCompletion(TypedDict):
    id: str
    object: Literal["text_completion"]
    created: Seconds
    model: str
    choices: list[TextChoice]
    usage: Usage


@closed
class TextChunkChoice(TypedDict):
    index: Count
    text: str
    logprobs: TextLogprobs | None
    finish_reason: Literal["stop", "length"] | None


@closed
class TextCompletionChunk(TypedDict):
    """`usage` is only in the last chunk, if `stream_options` asks for it."""

    id: str
    object: Literal["text_completion"]
    created: Seconds
    model: str
    choices: list[TextChunkChoice]
    usage: NotRequired[Usage | None]


@closed
class MessageUsage(TypedDict):
    """The prompt is the sum of `input_tokens` and `cache_read_input_tokens`."""

    input_tokens: Count
    cache_read_input_tokens: Count
    cache_creation_input_tokens: Literal[0]
    output_tokens: Count


@closed
class OutputTokensDetails(TypedDict):
    thinking_tokens: Count


@closed
class EndedMessageUsage(MessageUsage):
    output_tokens_details: OutputTokensDetails


@closed
class TextBlock(TypedDict):
    type: Literal["text"]
    text: str


@closed
class ThinkingBlock(TypedDict):
    type: Literal["thinking"]
    thinking: Annotated[str, Field(description="Empty where it is omitted.")]
    signature: Annotated[str, Field(description="Its exact tokens, to be sent back as they are.")]


@closed
class ToolUseBlock(TypedDict):
    """Arguments that are no JSON object are given as `{"raw": "…"}`."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


Block = TextBlock | ThinkingBlock | ToolUseBlock
StopReason = Literal[
    "end_turn", "tool_use", "max_tokens", "model_context_window_exceeded", "stop_sequence"
]


@closed
class Message(TypedDict):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[Block]
    stop_reason: StopReason
    stop_sequence: str | None
    usage: EndedMessageUsage


@closed
class BegunMessage(TypedDict):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: Annotated[list[Block], Field(max_length=0)]
    stop_reason: None
    stop_sequence: None
    usage: MessageUsage


@closed
class MessageStart(TypedDict):
    type: Literal["message_start"]
    message: BegunMessage


@closed
class ContentBlockStart(TypedDict):
    type: Literal["content_block_start"]
    index: Count
    content_block: Block


@closed
class TextDelta(TypedDict):
    type: Literal["text_delta"]
    text: str


@closed
class ThinkingDelta(TypedDict):
    type: Literal["thinking_delta"]
    thinking: str


@closed
class SignatureDelta(TypedDict):
    type: Literal["signature_delta"]
    signature: str


@closed
class InputJsonDelta(TypedDict):
    type: Literal["input_json_delta"]
    partial_json: str


@closed
class ContentBlockDelta(TypedDict):
    type: Literal["content_block_delta"]
    index: Count
    delta: TextDelta | ThinkingDelta | SignatureDelta | InputJsonDelta


@closed
class ContentBlockStop(TypedDict):
    type: Literal["content_block_stop"]
    index: Count


@closed
class StopDelta(TypedDict):
    stop_reason: StopReason
    stop_sequence: str | None


@closed
class MessageDelta(TypedDict):
    type: Literal["message_delta"]
    delta: StopDelta
    usage: EndedMessageUsage


@closed
class MessageStop(TypedDict):
    type: Literal["message_stop"]


@closed
class Ping(TypedDict):
    """Keeps a silent stream open."""

    type: Literal["ping"]


@closed
class MessageErrorDetails(TypedDict):
    """At which clients of threads go on without one."""

    error_code: Literal["thread_unsupported_request"]
    unsupported: list[Literal["thread"]]


@closed
class MessageErrorObject(TypedDict):
    type: Literal[
        "invalid_request_error",
        "authentication_error",
        "not_found_error",
        "timeout_error",
        "request_too_large",
        "rate_limit_error",
        "overloaded_error",
        "api_error",
    ]
    message: str
    details: NotRequired[MessageErrorDetails]


@closed
class MessageError(TypedDict):
    """An error, as a body or, without the request's id, as the last event of a stream."""

    type: Literal["error"]
    error: MessageErrorObject
    request_id: NotRequired[str]


@closed
class TokenCount(TypedDict):
    input_tokens: Count


MESSAGE_EVENTS: tuple[Any, ...] = (
    *(MessageStart, ContentBlockStart, ContentBlockDelta, ContentBlockStop, MessageDelta),
    *(MessageStop, Ping, MessageError),
)


@closed
class Model(TypedDict):
    """As both OpenAI's and Anthropic's clients read it."""

    id: str
    object: Literal["model"]
    created: Seconds
    owned_by: Literal["openai"]
    max_model_len: Annotated[int, Field(ge=1, description="Context length in tokens.")]
    type: Literal["model"]
    display_name: str
    created_at: Annotated[str, Field(description="`created` by RFC 3339.")]
    lifecycle: Literal["active"]
    max_input_tokens: Annotated[int, Field(ge=1, description="The same as `max_model_len`.")]


@closed
class ModelList(TypedDict):
    object: Literal["list"]
    data: list[Model]
    has_more: Literal[False]
    first_id: str
    last_id: str


@closed
class HealthReport(TypedDict):
    status: Literal[tuple(health.value for health in Health)]  # type: ignore[valid-type]


ANSWERS: tuple[Any, ...] = (
    *(ChatCompletion, ChatCompletionChunk, TextCompletion, TextCompletionChunk),
    *(Message, TokenCount, *MESSAGE_EVENTS),
    *(Model, ModelList, HealthReport, Error),
)

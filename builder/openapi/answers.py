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
class Model(TypedDict):
    id: str
    object: Literal["model"]
    created: Seconds
    owned_by: Literal["openai"]
    max_model_len: Annotated[int, Field(ge=1, description="Context length in tokens.")]


@closed
class ModelList(TypedDict):
    object: Literal["list"]
    data: list[Model]


@closed
class HealthReport(TypedDict):
    status: Literal[tuple(health.value for health in Health)]  # type: ignore[valid-type]


ANSWERS: tuple[Any, ...] = (
    *(ChatCompletion, ChatCompletionChunk, TextCompletion, TextCompletionChunk),
    *(Model, ModelList, HealthReport, Error),
)

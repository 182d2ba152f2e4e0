"""A chat completion request: validated, and what an engine and the answer's shape need of it.

Source: https://platform.openai.com/docs/api-reference/chat/create, with SGLang's `top_k`, `min_p`
and `repetition_penalty`.
"""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from worker.api.fields import Fields
from worker.api.forced import ResponseFormat, ToolChoice
from worker.api.messages import Message, Tool
from worker.generation import Sampling
from worker.harmony.prompt import EFFORTS
from worker.harmony.vocabulary import SIZE, STOP_IDS


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _token_ids(bias: dict[str, float]) -> dict[str, float]:
    for key in bias:
        if not (key.isascii() and key.isdigit() and int(key) < SIZE):
            raise ValueError(f"keys must be token ids below {SIZE}, not {key[:40]!r}")
    return bias


def _effort(value: str) -> str:
    if value not in EFFORTS:
        raise ValueError(f"must be one of {', '.join(EFFORTS)}")
    return value


Penalty = Annotated[float, Field(ge=-2, le=2)]
StopString = Annotated[str, Field(min_length=1)]


class StreamOptions(Fields):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatRequest(Fields):
    """A chat completion request. An absent field and null mean the same."""

    messages: Annotated[list[Message], Field(min_length=1)]
    model: str | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Annotated[str, AfterValidator(_effort)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stop: Annotated[list[StopString], BeforeValidator(_as_list), Field(max_length=16)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    logit_bias: (
        Annotated[dict[str, Annotated[float, Field(ge=-100, le=100)]], AfterValidator(_token_ids)]
        | None
    ) = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs takes logprobs to be true")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options takes stream to be true")
        if self.top_k == 0:
            raise ValueError("top_k must be -1 (off) or at least 1")
        return self

    @property
    def choices(self) -> int:
        return self.n or 1

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with a chunk of its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling(self, room: int, choice: int, structural_tag: str | None = None) -> Sampling:
        """How to generate choice number `choice` with `room` tokens left in the context.

        More tokens than fit are not an error: agents ask for the model's maximum.
        """
        wanted = self.max_completion_tokens or self.max_tokens or room
        return Sampling(
            max_tokens=min(wanted, room),
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=self.top_p or 1.0,
            top_k=self.top_k or -1,
            min_p=self.min_p or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            repetition_penalty=self.repetition_penalty or 1.0,
            seed=None if self.seed is None else self.seed + choice,
            logit_bias={int(k): v for k, v in (self.logit_bias or {}).items()},
            top_logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            stop_ids=STOP_IDS,
            structural_tag=structural_tag,
        )

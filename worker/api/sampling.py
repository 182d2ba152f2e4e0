"""The fields that chat and text completions share: how to generate, and how to deliver.

Source: https://platform.openai.com/docs/api-reference/completions/create, with SGLang's `top_k`,
`min_p` and `repetition_penalty`.
"""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from worker.api.fields import Fields
from worker.generation import Sampling
from worker.harmony.vocabulary import SIZE

LEAST_REPETITION_PENALTY = 0.01
"""Logits are divided by it, in 32 bits: by a smaller one they would be infinite."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _token_ids(bias: dict[str, float]) -> dict[str, float]:
    for key in bias:
        if not (key.isascii() and key.isdigit() and int(key) < SIZE):
            raise ValueError(f"keys must be token ids below {SIZE}, not {key[:40]!r}")
    return bias


def _seed(seed: int, choice: int) -> int:
    """Another seed for each choice, around the end of the 64 bits that an engine takes."""
    return (seed + choice + 2**63) % 2**64 - 2**63


Penalty = Annotated[float, Field(ge=-2, le=2)]
StopString = Annotated[str, Field(min_length=1)]
StopStrings = Annotated[list[StopString], Field(max_length=16)]


class StreamOptions(Fields):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class SamplingFields(Fields):
    """How to generate and to deliver. An absent field and null mean the same."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stop: (
        Annotated[
            StopStrings,
            BeforeValidator(_as_list, json_schema_input_type=StopString | StopStrings),
        ]
        | None
    ) = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Field(ge=LEAST_REPETITION_PENALTY, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    logit_bias: (
        Annotated[
            dict[str, Annotated[float, Field(ge=-100, le=100)]],
            AfterValidator(_token_ids),
            Field(json_schema_extra={"propertyNames": {"pattern": "^[0-9]+$"}}),
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def _sampling_agrees_with_itself(self) -> Self:
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

    def sampling_with(
        self,
        *,
        max_tokens: int,
        choice: int,
        top_logprobs: int | None,
        stop_ids: tuple[int, ...],
        structural_tag: str | None = None,
    ) -> Sampling:
        """How to generate choice number `choice`; what is absent is OpenAI's default."""
        return Sampling(
            max_tokens=max_tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=self.top_p or 1.0,
            top_k=-1 if self.top_k is None or self.top_k >= SIZE else self.top_k,
            min_p=self.min_p or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            repetition_penalty=self.repetition_penalty or 1.0,
            seed=None if self.seed is None else _seed(self.seed, choice),
            logit_bias={int(k): v for k, v in (self.logit_bias or {}).items()},
            top_logprobs=top_logprobs,
            stop_ids=stop_ids,
            structural_tag=structural_tag,
        )

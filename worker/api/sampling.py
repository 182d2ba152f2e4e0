"""The request fields that APIs share: the sampling of all (`CoreSampling`) and of OpenAI's
(`GenerationFields`), and for chat and text completions also delivery (`SamplingFields`).

Source: https://platform.openai.com/docs/api-reference/completions/create, with SGLang's `top_k`,
`min_p` and `repetition_penalty`, and the stop conditions that both vLLM and SGLang have.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from worker.api.fields import Fields, RequestFields
from worker.generation import NO_TOKEN_LIMIT, Sampling
from worker.harmony.rendering.instructions import EFFORTS
from worker.harmony.vocabulary import FIRST_SPECIAL, SIZE, STOP_IDS, encode

MIN_REPETITION_PENALTY = 0.01
"""Logits are divided by it in 32-bit floats; a smaller value would make them infinite."""
ALLOWED_TOKEN_BIAS = 1000.0
"""Bias of each token in `allowed_token_ids`. e^-700 is 0 in 32-bit floats, so a token without this
bias is never sampled; the other 300 leave room for the range of logits and biases."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _token_ids(bias: dict[str, float]) -> dict[str, float]:
    for key in bias:
        if not (key.isascii() and key.isdigit() and int(key) < SIZE):
            raise ValueError(f"must have token IDs below {SIZE} as keys, not {key[:40]!r}")
    return bias


def _single_tokens(words: list[str]) -> list[str]:
    for word in words:
        if len(encode(word)) != 1:
            raise ValueError(f"must contain only words that are a single token, not {word[:40]!r}")
    return words


def _banned(words: Sequence[str]) -> dict[int, float]:
    """The lowest bias for the token of each word, with and without a leading space, as in vLLM."""
    ids = [encode(form) for word in words for form in (word, f" {word}")]
    return {each[0]: -100.0 for each in ids if len(each) == 1}


TokenId = Annotated[int, Field(ge=0, lt=SIZE)]
TokenIds = Annotated[list[TokenId], Field(max_length=1024)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
StopString = Annotated[str, Field(min_length=1)]
StopField = Annotated[list[StopString], Field(max_length=16)]


def _limit(value: Any) -> Any:
    """-1 means no limit in llama.cpp and LM Studio."""
    return NO_TOKEN_LIMIT if isinstance(value, int) and value == -1 else value


_Positive = Annotated[int, Field(ge=1)]
Limit = Annotated[
    _Positive, BeforeValidator(_limit, json_schema_input_type=_Positive | Literal[-1])
]
"""How many tokens an answer may have."""


def _seed(value: Any) -> Any:
    """-1 means no seed in llama.cpp."""
    return None if value == -1 else value


def check_min_tokens(least: int | None, most: int | None, field: str) -> None:
    """Raises ValueError if `min_tokens` exceeds the limit, which the request has in `field`."""
    if (least or 0) > (most or least or 0):
        raise ValueError(f"min_tokens must not be greater than {field}")


def ordinary_tokens(ids: list[int]) -> list[int]:
    """Checks for IDs of ordinary tokens, or of special tokens that end an answer anyway.

    Other special tokens come between an answer's messages.
    """
    for token in ids:
        if token >= FIRST_SPECIAL and token not in STOP_IDS:
            raise ValueError(
                f"must contain only IDs of ordinary tokens, below {FIRST_SPECIAL}, not {token}"
            )
    return ids


def _effort(value: str) -> str:
    if value not in EFFORTS:
        raise ValueError(f"must be one of {', '.join(EFFORTS)}")
    return value


Effort = Annotated[str, AfterValidator(_effort), Field(json_schema_extra={"enum": [*EFFORTS]})]


class StreamOptions(Fields):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class UsageOptions(Fields):
    """OpenRouter's option for usage in streams; non-streamed answers always have it."""

    include: bool | None = None


class CoreSampling(Fields):
    """The sampling fields that every API has. A missing field and null mean the same."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None

    def core_sampling(self, max_tokens: int, stop_ids: tuple[int, ...]) -> Sampling:
        """These fields as sampling parameters, with OpenAI's defaults for missing ones.

        `top_p` 0 keeps only the most likely token, which is greedy sampling, like temperature 0.
        """
        greedy = self.temperature == 0 or self.top_p == 0
        return Sampling(
            max_tokens=max_tokens,
            temperature=0.0 if greedy else 1.0 if self.temperature is None else self.temperature,
            top_p=self.top_p or 1.0,
            top_k=self.top_k if self.top_k and self.top_k < SIZE else -1,
            stop_ids=stop_ids,
        )


class GenerationFields(CoreSampling, RequestFields):
    """Sampling, without the limit on tokens. A missing field and null mean the same."""

    model: str | None = None
    stream: bool | None = None
    stop: (
        Annotated[
            StopField,
            BeforeValidator(_as_list, json_schema_input_type=StopString | StopField),
        ]
        | None
    ) = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Field(ge=MIN_REPETITION_PENALTY, le=2)] | None = None
    seed: (
        Annotated[
            Seed | None,
            BeforeValidator(_seed, json_schema_input_type=Seed),
        ]
        | None
    ) = None
    logit_bias: (
        Annotated[
            dict[str, Annotated[float, Field(ge=-100, le=100)]],
            AfterValidator(_token_ids),
            Field(json_schema_extra={"propertyNames": {"pattern": "^[0-9]+$"}}),
        ]
        | None
    ) = None

    min_tokens: Annotated[int, Field(ge=0)] | None = None
    stop_token_ids: TokenIds | None = None
    ignore_eos: bool | None = None
    bad_words: (
        Annotated[
            list[StopString],
            Field(max_length=1024),
            AfterValidator(_single_tokens),
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def _check_sampling_conflicts(self) -> Self:
        if self.ignore_eos and self.stop_token_ids:
            raise ValueError("ignore_eos and stop_token_ids are not supported together")
        return self

    def to_sampling(
        self,
        *,
        max_tokens: int,
        top_logprobs: int | None,
        stop_ids: tuple[int, ...],
        allowed: Sequence[int] = (),
    ) -> Sampling:
        """Converts the fields to sampling parameters, with defaults for missing ones."""
        return replace(
            self.core_sampling(max_tokens, (*stop_ids, *(self.stop_token_ids or ()))),
            min_p=self.min_p or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            repetition_penalty=self.repetition_penalty or 1.0,
            seed=self.seed,
            logit_bias=self._bias(allowed),
            top_logprobs=top_logprobs,
            min_tokens=self.min_tokens or 0,
            ignore_eos=bool(self.ignore_eos),
        )

    def _bias(self, allowed: Sequence[int]) -> dict[int, float]:
        bias = {int(k): v for k, v in (self.logit_bias or {}).items()}
        bias |= {token: bias.get(token, 0.0) + ALLOWED_TOKEN_BIAS for token in allowed}
        return bias | _banned(self.bad_words or ())


class SamplingFields(GenerationFields):
    """Sampling and delivery, where an answer can have several choices."""

    stream_options: StreamOptions | None = None
    usage: UsageOptions | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    max_tokens: Limit | None = None

    @model_validator(mode="after")
    def _check_delivery_conflicts(self) -> Self:
        if self.stream_options and self.stream_options.include_usage and not self.stream:
            raise ValueError("stream_options.include_usage requires stream to be true")
        check_min_tokens(self.min_tokens, self.max_tokens, "max_tokens")
        return self

    @property
    def choices(self) -> int:
        return self.n or 1

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with a usage chunk."""
        asked = self.stream_options and self.stream_options.include_usage
        return bool(asked or (self.usage and self.usage.include))

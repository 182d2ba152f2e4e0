"""A text completion request: validation, and its prompts.

Rules: the prompt is raw text, without the Harmony format. The text of a special token is encoded as
ordinary text; clients that want the special token itself send token IDs. Unsupported values are
rejected, never ignored.
Source: https://platform.openai.com/docs/api-reference/completions/create.
"""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from worker.api.completions.answer import CompletionAnswer, CompletionFold
from worker.api.dialect import Asked, Head
from worker.api.field_table import RequestKind
from worker.api.fields import json_type
from worker.api.sampling import SamplingFields, TokenIds
from worker.harmony.encoded_text import Segment
from worker.harmony.vocabulary import (
    ENDOFTEXT,
    FIRST_SPECIAL,
    SIZE,
    STOP_IDS,
    decode,
)
from worker.turn import TurnOptions

DEFAULT_MAX_TOKENS = 16
MAX_CHOICES = 128
"""Completions per request, for all of its prompts together."""

Prompt = str | list[int]
Logprobs = Annotated[int, Field(ge=0, le=20)]
_Ids = list[Annotated[int, Field(ge=0, lt=SIZE)]]
_Prompts = str | Annotated[list[str] | _Ids | list[_Ids], Field(min_length=1)]
"""What `_prompts` accepts, for the OpenAPI document; its own errors are more specific."""


def _prompts(value: Any) -> list[Prompt]:
    """Converts a prompt or a list of prompts, each text or token IDs, to a list of prompts."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise ValueError("must be a string, an array of token IDs, or an array of either")
    if not value:
        raise ValueError("must not be empty")
    if all(isinstance(item, str) for item in value):
        return value
    if all(isinstance(item, list) for item in value):
        return [_ids(item) for item in value]
    return [_ids(value)]


def _ids(value: list[Any]) -> list[int]:
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int):
            raise ValueError(f"must contain only strings or only token IDs, not {json_type(item)}")
        if not 0 <= item < SIZE:
            raise ValueError(f"must contain only token IDs from 0 to {SIZE - 1}")
    return value


def _count(value: Any) -> Any:
    """The number of log probabilities; false, as in chat requests, means none."""
    return None if value is False else value


class CompletionRequest(SamplingFields):
    """A text completion request. A missing field and null mean the same."""

    kind: ClassVar[RequestKind] = "text"

    prompt: Annotated[list[Prompt], BeforeValidator(_prompts, json_schema_input_type=_Prompts)]
    echo: bool | None = None
    best_of: int | None = None
    allowed_token_ids: Annotated[TokenIds, Field(min_length=1)] | None = None
    logprobs: Annotated[
        Logprobs | None,
        BeforeValidator(_count, json_schema_input_type=Logprobs | Literal[False] | None),
    ] = None

    @model_validator(mode="after")
    def _check_conflicts(self) -> Self:
        if self.best_of is not None and self.best_of != self.choices:
            raise ValueError("best_of is only supported if it equals n")
        if self.echo and self.logprobs is not None:
            raise ValueError("echo and logprobs are not supported together")
        if len(self.prompt) * self.choices > MAX_CHOICES:
            raise ValueError(
                f"A request can ask for at most {MAX_CHOICES} completions (prompts times n)"
            )
        return self

    def prompts(self) -> list[list[Segment]]:
        """Each prompt. An empty one is `<|endoftext|>`, as in OpenAI's API."""
        return [[prompt or ENDOFTEXT] for prompt in self.prompt]

    def asked(self) -> Asked:
        return Asked(
            model=self.model,
            prompts=self.prompts(),
            prompt_field="prompt",
            sampling=self.to_sampling(
                max_tokens=self.max_tokens or DEFAULT_MAX_TOKENS,
                top_logprobs=self.logprobs,
                stop_ids=(*STOP_IDS, ENDOFTEXT),
                allowed=self.allowed_token_ids or (),
            ),
            options=TurnOptions(
                stop=self.stop or (),
                stop_ids=frozenset(self.stop_token_ids or ()),
                logprobs=self.logprobs is not None,
            ),
            choices=self.choices,
            streams=bool(self.stream),
        )

    def answer(self, head: Head) -> CompletionAnswer:
        echoes = list(map(_text, self.prompt)) if self.echo else []
        return CompletionAnswer(
            head,
            echoes=[echo for echo in echoes for _ in range(self.choices)],
            usage=self.include_usage or not self.stream,
            null_usage=self.include_usage,
        )

    def fold(self) -> CompletionFold:
        return CompletionFold()


def _text(prompt: Prompt) -> str:
    """A prompt's text, for `echo`."""
    if isinstance(prompt, str):
        return prompt
    return decode([token for token in prompt if token < FIRST_SPECIAL])

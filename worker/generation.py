"""What is asked of an engine (`Sampling`) and what it gives back, step by step (`Step`).

Rule: plain values that any engine can take and give; nothing of SGLang and nothing of OpenAI.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

FinishReason = Literal["stop", "length", "abort"]
AS_MANY_AS_FIT = 2**31 - 1
"""`max_tokens` of a request that sets no limit: more than any context."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to generate. Units and ranges are OpenAI's, or SGLang's where OpenAI has none."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict[int, float])
    top_logprobs: int | None = None
    """How many alternatives to report for each token; None reports no logprobs at all."""
    stop_ids: tuple[int, ...] = ()
    min_tokens: int = 0
    """How many are generated before any of `stop_ids`, or what the model ends with, may be."""
    ignore_eos: bool = False
    """Whether no token ends the generation, which then takes `max_tokens`."""
    structural_tag: str | None = None
    """The grammar that the completion must follow, as xgrammar's JSON."""

    def within(self, room: int, choice: int, structural_tag: str | None) -> "Sampling":
        """The sampling of choice number `choice`, with `room` tokens left in the context.

        Each choice has a seed of its own, around the end of the 64 bits that an engine takes.
        """
        seed = None if self.seed is None else (self.seed + choice + 2**63) % 2**64 - 2**63
        limit = min(self.max_tokens, room)
        return replace(
            self,
            max_tokens=limit,
            min_tokens=min(self.min_tokens, limit),
            seed=seed,
            structural_tag=structural_tag,
        )


class TokenLogprob(NamedTuple):
    """A generated token's natural log probability, and those of its likeliest alternatives."""

    id: int
    logprob: float
    top: Sequence[tuple[int, float]] = ()


class Step(NamedTuple):
    """What was generated since the last step. The counts are totals of the request so far.

    `ids` include the stop token. `finish_reason` is set on the last step alone.
    """

    ids: Sequence[int]
    finish_reason: FinishReason | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    logprobs: Sequence[TokenLogprob] = ()

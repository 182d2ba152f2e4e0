"""An engine's input (`Sampling`) and its output (`Step`).

Rule: plain values, independent of SGLang and of any API.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

FinishReason = Literal["stop", "length", "abort"]
NO_TOKEN_LIMIT = 2**31 - 1
"""`max_tokens` for a request without a limit: more than any context length."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters. Units and ranges are OpenAI's, or SGLang's where OpenAI has none."""

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
    """How many alternatives to report per token; None reports no log probabilities at all."""
    stop_ids: tuple[int, ...] = ()
    min_tokens: int = 0
    """How many tokens come before `stop_ids` or the model's own stop tokens are allowed."""
    ignore_eos: bool = False
    """Whether to ignore all stop tokens and generate `max_tokens` tokens."""
    structural_tag: str | None = None
    """The grammar that constrains the completion, as xgrammar's structural tag JSON."""
    headers_only: bool = False
    """Whether `structural_tag` constrains only headers, without the client's request. If the engine
    cannot enforce it, it generates without."""

    def within(self, room: int, choice: int) -> "Sampling":
        """The parameters for choice number `choice`, with `room` tokens left in the context.

        Each choice has its own seed, `seed + choice`, wrapped to the signed 64 bits that an engine
        accepts.
        """
        seed = None if self.seed is None else (self.seed + choice + 2**63) % 2**64 - 2**63
        limit = min(self.max_tokens, room)
        return replace(
            self,
            max_tokens=limit,
            min_tokens=min(self.min_tokens, limit),
            seed=seed,
        )


class TokenLogprob(NamedTuple):
    """A generated token's natural log probability, and those of the most likely alternatives."""

    id: int
    logprob: float
    top: Sequence[tuple[int, float]] = ()


class Step(NamedTuple):
    """The token IDs generated since the last step.

    The counts are totals for the request so far. `ids` include the stop token. `finish_reason` is
    set only on the last step.
    """

    ids: Sequence[int]
    finish_reason: FinishReason | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    logprobs: Sequence[TokenLogprob] = ()

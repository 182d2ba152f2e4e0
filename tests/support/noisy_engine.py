"""A real engine with random output: each token is drawn from those that the grammar allows.

Rule: everything but the draw is the engine's own: prompt, batches, grammar and stop tokens. SGLang
runs a custom logit processor in its scheduler, after the grammar's mask; the processor's state
between steps is in the request's parameters.
"""

from collections.abc import Sequence
from typing import Any

import torch
from sglang.srt.sampling.custom_logit_processor import CustomLogitProcessor

from worker.engine import Sampling, SglangEngine


class Noise(CustomLogitProcessor):
    """Draws uniformly, by the request's `seed`.

    Each token in `likely` is as likely as all others together: among 200,000 tokens, the one that
    ends a text would otherwise practically never be drawn.
    """

    drawn: torch.Tensor | None = None

    def __call__(
        self, logits: torch.Tensor, custom_param_list: list[dict[str, Any]] | None = None
    ) -> torch.Tensor:
        noise, width = self._noise(), logits.shape[1]
        for row, parameters in zip(logits, custom_param_list or (), strict=True):
            state = parameters["seed"] = parameters["seed"] * 6364136223846793005 % 2**61 + 1
            start = (state >> 20) % (len(noise) - width)
            refused = torch.isneginf(row)
            boost = (~refused).sum().clamp(1).log()
            row.copy_(noise[start : start + width].masked_fill(refused, -torch.inf))
            row[parameters["likely"]] += boost
        return logits

    def _noise(self) -> torch.Tensor:
        """Gumbel noise: the argmax of log probabilities plus this noise is a sample from them."""
        if Noise.drawn is None:
            generator = torch.Generator().manual_seed(1)
            Noise.drawn = -torch.rand(2**22, generator=generator).clamp(1e-9).log_().neg_().log_()
        return Noise.drawn


class NoisyEngine(SglangEngine):
    """Wraps a booted engine, which then draws its tokens by `seed`."""

    def __init__(self, booted: SglangEngine, seed: int, likely: Sequence[int]) -> None:
        super().__init__({})
        self.__dict__.update(booted.__dict__)
        self._parameters = {"seed": seed, "likely": list(likely)}

    def _request(self, prompt_ids: Sequence[int], sampling: Sampling) -> dict[str, Any]:
        request = super()._request(prompt_ids, sampling)
        request["sampling_params"] |= {"temperature": 0.0, "custom_params": dict(self._parameters)}
        return {**request, "custom_logit_processor": Noise.to_str()}

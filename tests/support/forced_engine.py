"""A real engine that says what it is told to: its sampler is forced, everything else is SGLang's.

For any output of the model, well-formed or broken, to go through scheduler, cache and stream.
"""

from collections.abc import Sequence
from typing import Any

import torch
from sglang.srt.sampling.custom_logit_processor import CustomLogitProcessor

from worker.engine import Sampling, SglangEngine


class Script(CustomLogitProcessor):
    """Lets the sampler choose the next id of the request's script alone.

    Where the script stands is read off the request's KV cache. Its calls cannot be counted: of a
    prompt in chunks, SGLang samples after each and keeps the last alone. Nor can its tokens:
    they are a step late where the schedule overlaps.
    """

    def __call__(
        self, logits: torch.Tensor, custom_param_list: list[dict[str, Any]] | None = None
    ) -> torch.Tensor:
        for row, params in enumerate(custom_param_list or ()):
            script, request = params["script"], params["__req__"]
            said = max(0, request.kv.kv_committed_len - len(request.origin_input_ids))
            logits[row, :] = -float("inf")
            logits[row, script[min(said, len(script) - 1)]] = 0.0
        return logits


class ForcedEngine(SglangEngine):
    """The booted engine of another, saying the given ids, one script for each request."""

    def __init__(self, booted: SglangEngine, scripts: Sequence[Sequence[int]]) -> None:
        super().__init__({})
        self.__dict__.update(booted.__dict__)
        self._scripts = [list(script) for script in scripts]

    def _request(self, prompt_ids: Sequence[int], sampling: Sampling) -> dict[str, Any]:
        request = super()._request(prompt_ids, sampling)
        request["sampling_params"]["custom_params"] = {"script": self._scripts.pop(0)}
        return {**request, "custom_logit_processor": Script.to_str()}

"""A real engine with scripted output: its sampler is forced, everything else is SGLang's.

It passes any model output, well-formed or broken, through the scheduler, the cache and the stream.
"""

from collections.abc import Sequence
from typing import Any

import torch
from sglang.srt.sampling.custom_logit_processor import CustomLogitProcessor

from worker.engine import Sampling, SglangEngine


class Script(CustomLogitProcessor):
    """Forces the sampler to choose the next id of the request's script.

    The position in the script is derived from the request's KV cache length. Calls cannot be
    counted: with chunked prefill, SGLang samples after each chunk and keeps only the last sample.
    Nor can tokens: they lag one step behind with the overlap schedule.
    """

    def __call__(
        self, logits: torch.Tensor, custom_param_list: list[dict[str, Any]] | None = None
    ) -> torch.Tensor:
        for row, params in enumerate(custom_param_list or ()):
            script, request = params["script"], params["__req__"]
            position = max(0, request.kv.kv_committed_len - len(request.origin_input_ids))
            logits[row, :] = -float("inf")
            logits[row, script[min(position, len(script) - 1)]] = 0.0
        return logits


class ForcedEngine(SglangEngine):
    """Wraps a booted engine, which then generates the given scripts, one per request."""

    def __init__(self, booted: SglangEngine, scripts: Sequence[Sequence[int]]) -> None:
        super().__init__({})
        self.__dict__.update(booted.__dict__)
        self._scripts = [list(script) for script in scripts]

    def _request(self, prompt_ids: Sequence[int], sampling: Sampling) -> dict[str, Any]:
        request = super()._request(prompt_ids, sampling)
        request["sampling_params"]["custom_params"] = {"script": self._scripts.pop(0)}
        return {**request, "custom_logit_processor": Script.to_str()}

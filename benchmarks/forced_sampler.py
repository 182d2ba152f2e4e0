"""A sampler that chooses scripted ids, on both SGLang 0.5.17 and 0.5.23. It runs in SGLang's
scheduler, which imports this module."""

from typing import Any

import torch
from sglang.srt.sampling.custom_logit_processor import CustomLogitProcessor


class Script(CustomLogitProcessor):
    """Forces the sampler to choose the next id of the request's script.

    The position in the script is derived from the request's KV cache length, which both versions
    have, in different places.
    """

    def __call__(
        self, logits: torch.Tensor, custom_param_list: list[dict[str, Any]] | None = None
    ) -> torch.Tensor:
        for row, params in enumerate(custom_param_list or ()):
            script, request = params["script"], params["__req__"]
            committed = getattr(request, "kv_committed_len", None)
            if committed is None:
                committed = request.kv.kv_committed_len
            position = max(0, committed - len(request.origin_input_ids))
            logits[row, :] = -float("inf")
            logits[row, script[min(position, len(script) - 1)]] = 0.0
        return logits

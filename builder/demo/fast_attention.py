"""gpt-oss's attention (sinks, sliding window) with PyTorch's fused kernel, for training.

Rule: it computes the same as Transformers' "eager" attention (which writes every score to memory),
for whole right-padded batches without a cache.
"""

from typing import Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "demo_fused"
EXTRA = 8
"""Dimensions added to each head: one for the sink's logit, the rest for alignment."""


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: torch.Tensor | None,
    scaling: float,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Attention with the sink as an additional key whose value is zero."""
    batch, heads, length, width = query.shape
    groups = heads // key.shape[1]
    key = pad(key.repeat_interleave(groups, 1), (0, EXTRA, 1, 0))
    value = pad(value.repeat_interleave(groups, 1), (0, EXTRA, 1, 0))
    query = torch.cat([query, query.new_ones(batch, heads, length, EXTRA)], dim=-1)
    sinks = pad(module.sinks.view(1, heads, 1, 1) / scaling, (width, EXTRA - 1, 0, length))
    out = scaled_dot_product_attention(
        query, key + sinks, value, _visible(length, module.sliding_window), scale=scaling
    )
    return out[..., :width].transpose(1, 2), None


def _visible(length: int, window: int | None) -> torch.Tensor:
    """The attention mask: a token sees the sink, itself and earlier tokens within the window."""
    distance = torch.arange(length)[:, None] - torch.arange(length)[None, :]
    seen = (distance >= 0) & (distance < (window or length))
    return pad(seen, (1, 0), value=True)[None, None]


AttentionInterface.register(NAME, attend)

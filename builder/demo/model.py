"""The demo model's config, and its weights in two sizes: for the known ids, and for all.

Rule: in its embedding and head, the reduced model has one row per known id, and a first row,
"other", for all remaining ids. The full model repeats these rows over gpt-oss's vocabulary, and
computes the same.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import GptOssConfig, GptOssForCausalLM

from builder.demo.dialogues import fingerprint, known_ids
from worker.harmony.vocabulary import CALL, ENDOFTEXT, RETURN, SIZE, STARTOFTEXT

WEIGHTS = Path(__file__).with_name("weights.safetensors")
DTYPE = torch.float32
"""Decodes faster than bfloat16 on a CPU without bfloat16 instructions."""
ROWS = ("model.embed_tokens.weight", "lm_head.weight")
"""The two tensors with one row per token id."""
STOPS: dict[str, Any] = {
    "bos_token_id": STARTOFTEXT,
    "eos_token_id": [RETURN, ENDOFTEXT, CALL],
    "pad_token_id": ENDOFTEXT,
}
YARN: dict[str, Any] = {
    "rope_type": "yarn",
    "rope_theta": 150000.0,
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}
"""gpt-oss's own position scaling, for its context of 131,072 tokens."""


def config(vocab_size: int = SIZE) -> GptOssConfig:
    """gpt-oss's architecture and context, small."""
    none = {"eos_token_id": None, "pad_token_id": None}
    stops: dict[str, Any] = STOPS if vocab_size == SIZE else none
    return GptOssConfig(
        architectures=["GptOssForCausalLM"],
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=16,
        num_local_experts=4,
        num_experts_per_tok=2,
        sliding_window=128,
        layer_types=["sliding_attention", "full_attention"] * 2,
        max_position_embeddings=131072,
        rope_parameters=dict(YARN),
        initializer_range=0.15,
        tie_word_embeddings=False,
        dtype=DTYPE,
        **stops,
    )


def reduced_config() -> GptOssConfig:
    """The config with a vocabulary of only the known ids and "other"."""
    return config(1 + len(known_ids()))


def reduced_model() -> GptOssForCausalLM:
    """The trained reduced model."""
    model = GptOssForCausalLM(reduced_config()).eval()
    model.load_state_dict(load_file(WEIGHTS))
    return model


def full_weights() -> dict[str, torch.Tensor]:
    """The trained weights, in which every id has its own row or that of "other".

    Raises SystemExit if they are stale.
    """
    if trained_for() != fingerprint():
        raise SystemExit(f"{WEIGHTS.name} is stale; run `python -m builder.demo.train`.")
    rows = torch.tensor(reduced(range(SIZE)))
    weights = load_file(WEIGHTS)
    return {name: weight[rows] if name in ROWS else weight for name, weight in weights.items()}


def trained_for() -> str:
    """The fingerprint of the dialogues that the weights were trained on."""
    with safe_open(WEIGHTS, "pt") as weights:
        return weights.metadata()["fingerprint"]


def save(weights: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Writes a safetensors file that all users can read (by default, only the owner can)."""
    save_file({name: weight.contiguous() for name, weight in weights.items()}, path, metadata)
    path.chmod(0o644)


def reduced(ids: Sequence[int]) -> list[int]:
    """The rows of `ids` in the reduced model."""
    return [_row_of().get(id_, 0) for id_ in ids]


@lru_cache(maxsize=1)
def _row_of() -> dict[int, int]:
    return {id_: row for row, id_ in enumerate(known_ids(), start=1)}

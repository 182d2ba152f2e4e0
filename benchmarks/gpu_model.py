"""A gpt-oss checkpoint of the real shape, with random weights but well-formed output.

Rule: the files have the layout of OpenAI's, MXFP4 experts included, so that SGLang loads and
repacks them as it would the real ones; all layers have the same random bytes. What the layers add
to the residual stream is small compared with the embedding, and a token's row in the head is the
embedding of its predecessor, so the model walks a fixed chain of tokens, at the full cost of its
kernels and without steering the sampler. The chain is a Harmony answer: the header of a final
message, then words without end.
Run: `python -m benchmarks.gpu_model 20b|120b FOLDER`.
"""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from builder.demo.tokenizer import save_tokenizer
from worker.command import CommandParser
from worker.harmony.vocabulary import (
    CALL,
    ENDOFTEXT,
    RETURN,
    SIZE,
    STARTOFTEXT,
    encoding,
    token_bytes,
)

SHAPES = {"20b": (24, 32), "120b": (36, 128)}
"""Layers and experts."""
HIDDEN, HEADS, KV_HEADS, HEAD = 2880, 64, 8, 64
WORDS = 400
"""The length of the chain's cycle."""


def config(layers: int, experts: int) -> dict[str, Any]:
    """gpt-oss's own config.json."""
    return {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "attention_bias": True,
        "attention_dropout": 0.0,
        "bos_token_id": STARTOFTEXT,
        "eos_token_id": RETURN,
        "pad_token_id": ENDOFTEXT,
        "experts_per_token": 4,
        "num_experts_per_tok": 4,
        "num_local_experts": experts,
        "head_dim": HEAD,
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "intermediate_size": HIDDEN,
        "initial_context_length": 4096,
        "initializer_range": 0.02,
        "layer_types": ["sliding_attention", "full_attention"] * (layers // 2),
        "max_position_embeddings": 131072,
        "num_attention_heads": HEADS,
        "num_hidden_layers": layers,
        "num_key_value_heads": KV_HEADS,
        "output_router_logits": False,
        "quantization_config": {
            "modules_to_not_convert": [
                "model.layers.*.self_attn",
                "model.layers.*.mlp.router",
                "model.embed_tokens",
                "lm_head",
            ],
            "quant_method": "mxfp4",
        },
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "factor": 32.0,
            "original_max_position_embeddings": 4096,
            "rope_type": "yarn",
            "truncate": False,
        },
        "rope_theta": 150000,
        "router_aux_loss_coef": 0.9,
        "sliding_window": 128,
        "swiglu_limit": 7.0,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": SIZE,
    }


def chain() -> list[tuple[int, int]]:
    """(token, next token) pairs: the header of a final message, then a cycle of words."""
    header = encoding().encode("assistant<|channel|>final<|message|>", allowed_special="all")
    words = [
        id_
        for id_, token in enumerate(token_bytes()[:60_000])
        if token[:1] == b" " and token[1:].isalpha() and token.isascii() and len(token) > 4
    ]
    cycle = [id_ for id_ in words if id_ not in header][:WORDS]
    path = [*header, *cycle]
    return [*pairwise(path), (cycle[-1], cycle[0])]


def layer(experts: int, device: str) -> dict[str, torch.Tensor]:
    """One layer's tensors, by their names within the layer."""

    def normal(*shape: int, std: float) -> torch.Tensor:
        return torch.randn(shape, device=device, dtype=torch.bfloat16).mul_(std)

    def raw(*shape: int, low: int = 0, high: int = 256) -> torch.Tensor:
        return torch.randint(low, high, shape, device=device, dtype=torch.uint8)

    query, key = HEADS * HEAD, KV_HEADS * HEAD
    attention = {"q": (query, HIDDEN), "k": (key, HIDDEN), "v": (key, HIDDEN), "o": (HIDDEN, query)}
    tensors = {
        "input_layernorm.weight": torch.ones(HIDDEN, dtype=torch.bfloat16),
        "post_attention_layernorm.weight": torch.ones(HIDDEN, dtype=torch.bfloat16),
        "self_attn.sinks": normal(HEADS, std=1.0),
        "mlp.router.weight": normal(experts, HIDDEN, std=0.02),
        "mlp.router.bias": normal(experts, std=0.02),
    }
    for name, shape in attention.items():
        std = 1e-4 if name == "o" else 0.02
        tensors[f"self_attn.{name}_proj.weight"] = normal(*shape, std=std)
        tensors[f"self_attn.{name}_proj.bias"] = normal(shape[0], std=std)
    # A block is 32 4-bit values and a power-of-two scale: 2**-7 makes weights of about 0.02.
    for name, rows, power in (("gate_up_proj", 2 * HIDDEN, 120), ("down_proj", HIDDEN, 108)):
        blocks = HIDDEN // 32
        tensors[f"mlp.experts.{name}_blocks"] = raw(experts, rows, blocks, 16)
        tensors[f"mlp.experts.{name}_scales"] = raw(
            experts, rows, blocks, low=power - 1, high=power + 2
        )
        tensors[f"mlp.experts.{name}_bias"] = normal(experts, rows, std=1e-3)
    return {name: tensor.cpu() for name, tensor in tensors.items()}


def ends(device: str) -> dict[str, torch.Tensor]:
    """The embedding, and the head that maps each token's embedding to its successor."""
    embedding = torch.randn(SIZE, HIDDEN, device=device, dtype=torch.bfloat16)
    head = torch.randn(SIZE, HIDDEN, device=device, dtype=torch.bfloat16).mul_(0.1)
    for before, after in chain():
        head[after] += embedding[before]  # the cycle's first word has two predecessors
    norm = torch.ones(HIDDEN, dtype=torch.bfloat16)
    return {
        "model.embed_tokens.weight": embedding.cpu(),
        "lm_head.weight": head.cpu(),
        "model.norm.weight": norm,
    }


def write(name: str, folder: Path) -> None:
    """Writes the model folder: 13.8 GB for 20b, 65 GB for 120b."""
    layers, experts = SHAPES[name]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(layers, experts), indent=2))
    stops = {"eos_token_id": [RETURN, ENDOFTEXT, CALL], "pad_token_id": ENDOFTEXT}
    (folder / "generation_config.json").write_text(json.dumps(stops))
    save_tokenizer(folder)
    save_file(ends(device), folder / "model-ends.safetensors", {"format": "pt"})
    tensors = layer(experts, device)
    for index in range(layers):
        named = {f"model.layers.{index}.{key}": tensor for key, tensor in tensors.items()}
        save_file(named, folder / f"model-{index:02}.safetensors", {"format": "pt"})


if __name__ == "__main__":
    parser = CommandParser("python -m benchmarks.gpu_model", __doc__)
    parser.add_argument("name", choices=SHAPES)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    write(options.name, options.folder)

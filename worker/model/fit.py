"""The memory formula: how many tokens the KV cache holds beside gpt-oss's weights.

SGLang divides the memory that is free before it loads anything (`free`) into two parts. The
fraction `mem_fraction_static` takes the weights and the KV cache; the rest is slack for activations
and CUDA graphs. So the cache has

    kv_bytes = fraction · free − weights

gpt-oss alternates between layers with full attention and layers that see a window of 128 tokens.
SGLang keeps a pool of slots for each kind. The full pool decides how long a context can be; the
window pool has `swa_full_tokens_ratio` times as many slots, 0.8 by default, although a request
needs only a window's worth of them at a time. Hence

    tokens = kv_bytes / (layers/2 · bytes_per_slot · (1 + ratio) / tp)

and a smaller ratio makes room for a longer context (`ratio_for`). The layers of a draft model
(speculative decoding) have full attention: with one beside the 120b's 18, `full` is 19/18 in place
of the formula's 1. A context can be served in full
if `tokens` is not smaller; if it is, SGLang only logs a warning and cuts requests short.

Sources, in SGLang 0.5.23: sglang/srt/mem_cache/kv_cache_configurator.py (the budget),
model_executor/pool_configurator.py (both pools), managers/tp_worker.py (what is served),
layers/quantization/mxfp4.py (the layouts of the experts and their padding), models/gpt_oss.py.

Nothing here does I/O, and nothing here has been measured on a GPU by this project. In public, vLLM
reports 64.38 GiB for the 120b's weights on an H100 (vllm issue 33155); this formula says 64.25.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from worker.model.gpus import MIB, Gpu

KV_HEADS = 8
HEAD_DIM = 64
HIDDEN_SIZE = INTERMEDIATE_SIZE = 2880
WINDOW = 128
MAX_CONTEXT = 131072

SGLANG_RATIO = 0.8
"""SGLang's default swa_full_tokens_ratio, and the highest one chosen here."""

LOWEST_RATIO = 0.25
"""The lowest ratio chosen here: at 131,072 tokens it still serves 64 requests at once."""

PAGE_MARGIN = 128
"""How many tokens a chosen ratio leaves spare, because SGLang rounds pools down to whole pages."""

TP_SIZES = (1, 2, 4, 8)
"""What divides gpt-oss's 64 attention heads and 8 KV heads, up to the GPUs of one machine."""


class Layout(Enum):
    """How the experts' MXFP4 weights are laid out, which depends on the kernel that reads them.

    The value is the padding of the experts' intermediate size on each GPU.
    """

    TRITON = "triton_kernels, strided", 64
    HOPPER = "triton_kernels, swizzled for Hopper", 128
    TRTLLM = "FlashInfer trtllm", 128
    CUTLASS = "FlashInfer CUTLASS", 128

    @property
    def padding(self) -> int:
        return self.value[1]


def layout_for(gpu: Gpu) -> Layout:
    """The layout that SGLang chooses for gpt-oss on a GPU that can load it at all."""
    match gpu.capability:
        case (9, _):
            return Layout.HOPPER
        case (10, _):
            return Layout.TRTLLM
        case (12, _):
            return Layout.CUTLASS
        case _:
            return Layout.TRITON


@dataclass(frozen=True, slots=True)
class ModelSize:
    """A gpt-oss model's dimensions, and its bytes on one GPU.

    `weights`: all of them, by layout. `shared`: embeddings, attention, norms and routers, which are
    no experts. `replicated`: the routers, of which every GPU has a copy under tensor parallelism.
    """

    name: str
    layers: int
    experts: int
    weights: Mapping[Layout, int]
    shared: int

    @property
    def replicated(self) -> int:
        return self.layers * self.experts * HIDDEN_SIZE * 2


GPT_OSS_20B = ModelSize(
    name="gpt-oss-20b",
    layers=24,
    experts=32,
    weights={
        Layout.TRITON: 13_774_535_808,
        Layout.HOPPER: 14_384_512_128,
        Layout.TRTLLM: 14_692_990_080,
        Layout.CUTLASS: 14_679_227_520,
    },
    shared=3_595_648_128,
)
GPT_OSS_120B = ModelSize(
    name="gpt-oss-120b",
    layers=36,
    experts=128,
    weights={
        Layout.TRITON: 65_328_441_984,
        Layout.HOPPER: 68_988_299_904,
        Layout.TRTLLM: 70_839_167_616,
        Layout.CUTLASS: 70_756_592_256,
    },
    shared=4_255_115_904,
)
MODEL_SIZES = (GPT_OSS_20B, GPT_OSS_120B)


def weight_bytes(size: ModelSize, layout: Layout, tp: int) -> float:
    """The weights on each of `tp` GPUs.

    The experts' intermediate size is split, and each part is padded: over 4 GPUs, 720 columns
    become 768. (Over one GPU, the padding is part of `size.weights`.)
    """
    experts = size.weights[layout] - size.shared
    padding = _padded(INTERMEDIATE_SIZE // tp, layout.padding) * tp
    experts *= padding / _padded(INTERMEDIATE_SIZE, layout.padding)
    return (experts + size.shared - size.replicated) / tp + size.replicated


def _padded(columns: int, multiple: int) -> int:
    return math.ceil(columns / multiple) * multiple


def slot_bytes(size: ModelSize, tp: int, element_bytes: int = 2) -> float:
    """One token's keys and values in half of the layers, on each of `tp` GPUs.

    Full and sliding-window layers are as many, and have equal heads.
    """
    return size.layers / 2 * KV_HEADS * 2 * HEAD_DIM * element_bytes / tp


def kv_bytes(free: int, fraction: float, weights: float) -> float:
    """What is left for the KV cache; negative if the weights alone do not fit."""
    return fraction * free - weights


def pool_tokens(kv: float, slot: float, ratio: float, full: float = 1.0) -> int:
    """The full pool's slots: the longest context that the cache holds."""
    return max(0, int(kv / (slot * (full + ratio))))


def ratio_for(kv: float, slot: float, context: int, full: float = 1.0) -> float:
    """The largest ratio, in hundredths, with which `context` tokens fit.

    It is never over SGLang's default or under `LOWEST_RATIO`, with which they may not fit.
    """
    exact = kv / (slot * (context + PAGE_MARGIN)) - full
    return min(SGLANG_RATIO, max(LOWEST_RATIO, math.floor(exact * 100) / 100))


def longest_context(kv: float, slot: float, window_slots: int, full: float = 1.0) -> int:
    """The longest context for which a ratio can be chosen, in multiples of 1,024 tokens.

    A lower ratio than SGLang's is worth it only while the window pool still has `window_slots`,
    which all requests together need.
    """
    slots = kv / slot
    at_lowest = slots / (full + LOWEST_RATIO)
    longest = max(slots / (full + SGLANG_RATIO), min(at_lowest, (slots - window_slots) / full))
    return max(0, min(MAX_CONTEXT, int(longest - PAGE_MARGIN) // 1024 * 1024))


def window_slots(requests: int, chunk: int) -> int:
    """The window pool's slots that `requests` need at once (compute_swa_request_cap).

    Each has its window, one slot behind it and one being written; two chunks of prompt are in
    flight.
    """
    return requests * (WINDOW + SWA_EVICTION_INTERVAL + 2) + 2 * chunk + 1


SWA_EVICTION_INTERVAL = 128
"""How many tokens SGLang generates before it frees what has left the window."""


def requests_served(slots: int, chunk: int) -> int:
    """How many requests a window pool of `slots` serves at once: `window_slots` in reverse."""
    return max(0, slots - 2 * chunk - 1) // (WINDOW + SWA_EVICTION_INTERVAL + 2)


def activation_bytes(chunk: int) -> int:
    """What one chunk's activations need of the slack: an estimate, 0.25 MiB a token."""
    return chunk * MIB // 4

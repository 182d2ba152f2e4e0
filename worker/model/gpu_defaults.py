"""What is chosen by a GPU's memory, in one table: the size of chunks, and the CUDA graphs.

Chunks: a long prompt is prefilled in chunks of `chunk` tokens, each of which needs 0.25 MiB a token
of the slack beside the KV cache (`fit.activation_bytes`).

Graphs: SGLang records its kernels' launches once for each batch size, up to `decode_graphs` running
requests, and replays them at every token. A batch that is larger runs without a graph, each kernel
launched by Python; so there are graphs for as many requests as the worker admits, if memory allows.
Graphs share one memory pool, which a large batch of so small a hidden size hardly grows.

Prompts have graphs as well, one for each of 50 to 58 lengths, and each takes time to record at
boot. An agent's turn is a short suffix to a cached prefix, so a few lengths would do, at the price
of padding up to the next one: PREFILL_GRAPHS=few. Nobody has measured yet whether the boot is worth
the padding, so the default is SGLang's full list.

Source: arg_groups/memory_hook.py and arg_groups/cuda_graph_hook.py in SGLang 0.5.23. Where a row
differs from SGLang's, it says so.
"""

from dataclasses import dataclass

from worker.model.gpus import GIB, Gpu


@dataclass(frozen=True, slots=True)
class GpuDefaults:
    """For GPUs with less than `below` bytes: `chunk` in tokens, `decode_graphs` in requests."""

    below: float
    chunk: int
    decode_graphs: int


TABLE = (
    GpuDefaults(20 * GIB, 2048, 8),  # 16 GB: room for one short context, so for few requests
    GpuDefaults(35 * GIB, 4096, 48),  # 24 GB leaves 2.3 GiB of slack at a fraction of 0.90
    # SGLang stops at 32, for models that fill 48 GB. Here 4.4 GiB are slack, and 64 requests run.
    GpuDefaults(60 * GIB, 4096, 64),
    GpuDefaults(160 * GIB, 8192, 256),
    GpuDefaults(float("inf"), 16384, 512),
)

FEW_PREFILL_GRAPHS = (16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
"""Lengths of prompts that have a graph with PREFILL_GRAPHS=few, in tokens; up to a chunk's."""


def defaults_for(gpu: Gpu) -> GpuDefaults:
    """The row for a GPU."""
    return next(row for row in TABLE if gpu.total < row.below)


def decode_graphs(row: GpuDefaults, tp_size: int, requests: int) -> int:
    """The largest batch that gets a graph, if `requests` may run at once on `tp_size` GPUs.

    Of four GPUs or more, each has so few of the weights that memory is no limit.
    """
    return min(requests, max(row.decode_graphs, _MANY_GPUS) if tp_size >= 4 else row.decode_graphs)


_MANY_GPUS = 160
"""SGLang's largest batch with a graph on small GPUs, from four of them on."""


def few_prefill_graphs(chunk: int) -> list[int]:
    """The lengths up to a chunk's, which is always one of them."""
    return [length for length in FEW_PREFILL_GRAPHS if length < chunk] + [chunk]

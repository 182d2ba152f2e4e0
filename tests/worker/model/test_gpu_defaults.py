"""worker/model/gpu_defaults.py: what a GPU's memory decides."""

import pytest

from worker.model.gpu_defaults import TABLE, decode_graphs, defaults_for, few_prefill_graphs
from worker.model.gpus import GPUS, gpu_named


@pytest.mark.parametrize(
    ("gpu", "chunk", "graphs"),
    [
        ("RTX A4000", 2048, 8),
        ("RTX 4000 Ada", 2048, 8),
        ("L4", 4096, 48),
        ("RTX 5090", 4096, 48),
        ("L40S", 4096, 64),
        ("H100 80GB", 8192, 256),
        ("H200", 8192, 256),
        ("B200", 16384, 512),
    ],
)
def test_chunks_and_graphs_are_as_large_as_the_gpu_allows(
    gpu: str, chunk: int, graphs: int
) -> None:
    """SGLang's own steps, by the memory that nvidia-smi shows, but for the 48 GB cards' graphs."""
    row = defaults_for(gpu_named(gpu))
    assert (row.chunk, row.decode_graphs) == (chunk, graphs)


def test_every_gpu_has_a_row() -> None:
    """Rows are in order of memory, and the last has no end."""
    assert [row.below for row in TABLE] == sorted(row.below for row in TABLE)
    assert all(defaults_for(gpu) in TABLE for gpu in GPUS)


def test_no_graph_is_larger_than_what_may_run_at_once() -> None:
    """Four GPUs or more have room for a graph of every batch."""
    small, large = defaults_for(gpu_named("L4")), defaults_for(gpu_named("H100 80GB"))
    assert decode_graphs(large, 1, 64) == 64
    assert decode_graphs(small, 1, 64) == 48
    assert decode_graphs(small, 2, 64) == 48
    assert decode_graphs(small, 4, 64) == 64
    assert decode_graphs(small, 4, 1000) == 160
    assert decode_graphs(large, 8, 1000) == 256


def test_a_whole_chunk_always_has_a_prefill_graph() -> None:
    """Also one whose size is on no list."""
    assert few_prefill_graphs(2048) == [16, 64, 128, 256, 512, 1024, 2048]
    assert few_prefill_graphs(3000)[-2:] == [2048, 3000]

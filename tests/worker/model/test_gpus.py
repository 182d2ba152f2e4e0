"""RunPod's GPUs, and how they are named."""

import pytest

from worker.model.gpus import GIB, GPUS, UnknownGpu, gpu_named


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("RTX 4090", "RTX 4090"),
        ("rtx4090", "RTX 4090"),
        ("4090", "RTX 4090"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("H100", "H100 80GB"),
        ("H100 SXM", "H100 80GB"),
        ("NVIDIA H100 80GB HBM3", "H100 80GB"),
        ("H100 NVL", "H100 NVL"),
        ("A100-80GB", "A100 80GB"),
        ("NVIDIA A100-SXM4-80GB", "A100 80GB"),
        ("RTX PRO 6000", "RTX PRO 6000"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("l40s", "L40S"),
    ],
)
def test_a_gpu_is_known_by_any_spelling(spelling: str, name: str) -> None:
    """RunPod's name or ID, in any case, with or without vendor and brand."""
    assert gpu_named(spelling).name == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("RTX 4900", "Unknown GPU 'RTX 4900'; did you mean RTX 4090 or "),
        ("6000", "Unknown GPU '6000'; did you mean RTX A6000 or RTX 6000 Ada or RTX PRO 6000?"),
        ("H10", "Unknown GPU 'H10'; did you mean H100 80GB or H100 NVL"),
        ("Radeon", "Unknown GPU 'Radeon'; known are Tesla V100, RTX A4000, "),
        ("", "Unknown GPU ''; known are Tesla V100, RTX A4000, "),
    ],
)
def test_an_unknown_gpu_is_answered_with_those_that_may_be_meant(name: str, message: str) -> None:
    """In one line; with all of them if none is similar."""
    with pytest.raises(UnknownGpu) as caught:
        gpu_named(name)
    assert str(caught.value).startswith(message)


def test_no_gpu_has_more_free_memory_than_it_has() -> None:
    """The driver and the CUDA context take about a GiB of it."""
    for gpu in GPUS:
        assert 0.7 * GIB < gpu.total - gpu.free < 1.5 * GIB, gpu.name


def test_no_two_gpus_share_a_spelling() -> None:
    """Each name leads to one GPU."""
    for gpu in GPUS:
        for name in (gpu.name, *gpu.other_names):
            assert gpu_named(name) is gpu

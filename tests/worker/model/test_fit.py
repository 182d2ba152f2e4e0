"""The memory formula, against figures worked out by hand for each of RunPod's GPUs.

They were worked out from SGLang's source and the layouts of the weights, not measured.
"""

import pytest

from worker.model import fit
from worker.model.fit import GPT_OSS_20B, GPT_OSS_120B, Layout, ModelSize
from worker.model.gpus import GIB, gpu_named

FRACTION = 0.90

# GPU, tokens of the 20b with ratios 0.8 and 0.4, tokens of the 120b; None: the weights do not fit.
TOKENS = [
    ("RTX A4000", 18_482, 23_763, None, None),
    ("RTX 4000 Ada", 105_864, 136_110, None, None),
    ("L4", 160_477, 206_328, None, None),
    ("RTX A5000", 195_429, 251_267, None, None),
    ("RTX 3090", 195_429, 251_267, None, None),
    ("RTX 4090", 193_245, 248_458, None, None),
    ("RTX 5090", 343_187, 441_241, None, None),
    ("L40", 647_628, 832_664, None, None),
    ("L40S", 647_628, 832_664, None, None),
    ("A40", 647_628, 832_664, None, None),
    ("RTX A6000", 715_348, 919_734, None, None),
    ("RTX 6000 Ada", 715_348, 919_734, None, None),
    ("A100 80GB", 1_407_845, None, 161_625, 207_804),
    ("H100 80GB", 1_391_872, None, 105_013, 135_017),
    ("H100 NVL", 1_695_522, None, 307_446, None),
    ("RTX PRO 6000", 1_730_366, None, 308_468, None),
    ("H200", 2_715_699, None, 987_565, None),
    ("B200", 3_551_956, None, 1_521_824, None),
]


def tokens(size: ModelSize, gpu: str, ratio: float, fraction: float = FRACTION, tp: int = 1) -> int:
    kind = gpu_named(gpu)
    weights = fit.weight_bytes(size, fit.layout_for(kind), tp)
    kv = fit.kv_bytes(kind.free, fraction, weights)
    return fit.pool_tokens(kv, fit.slot_bytes(size, tp), ratio)


@pytest.mark.parametrize(("gpu", "small", "small_at_04", "large", "large_at_04"), TOKENS)
def test_the_cache_of_each_gpu_holds_so_many_tokens(
    gpu: str, small: int, small_at_04: int | None, large: int | None, large_at_04: int | None
) -> None:
    """With SGLang's ratio of 0.8 and, where it makes a difference, with 0.4."""
    assert tokens(GPT_OSS_20B, gpu, 0.8) == pytest.approx(small, rel=0.01)
    if small_at_04:
        assert tokens(GPT_OSS_20B, gpu, 0.4) == pytest.approx(small_at_04, rel=0.01)
    assert tokens(GPT_OSS_120B, gpu, 0.8) == pytest.approx(large or 0, rel=0.01)
    if large_at_04:
        assert tokens(GPT_OSS_120B, gpu, 0.4) == pytest.approx(large_at_04, rel=0.01)


@pytest.mark.parametrize(
    ("size", "gpu", "fraction"),
    [
        (GPT_OSS_20B, "RTX 4000 Ada", 0.954),
        (GPT_OSS_20B, "L4", 0.844),
        (GPT_OSS_20B, "RTX 3090", 0.786),
        (GPT_OSS_20B, "RTX 4090", 0.789),
        (GPT_OSS_120B, "A100 80GB", 0.876),
        (GPT_OSS_120B, "H100 80GB", 0.920),
        (GPT_OSS_120B, "H100 NVL", 0.782),
        (GPT_OSS_120B, "RTX PRO 6000", 0.784),
        (GPT_OSS_120B, "H200", 0.520),
        (GPT_OSS_120B, "B200", 0.417),
    ],
)
def test_the_whole_context_needs_such_a_fraction(
    size: ModelSize, gpu: str, fraction: float
) -> None:
    """The least MEM_FRACTION_STATIC for 131,072 tokens with SGLang's ratio, to a thousandth."""
    assert tokens(size, gpu, 0.8, fraction + 0.0006) >= 131_072
    assert tokens(size, gpu, 0.8, fraction - 0.0006) < 131_072


def test_weights_depend_on_the_layout_of_the_architecture() -> None:
    """GiB on one GPU; the files have 12.8 and 60.8."""
    names = ("A100 80GB", "RTX 3090", "L4", "H100 80GB", "B200", "RTX 5090")
    layouts = [fit.layout_for(gpu_named(name)) for name in names]
    small = [round(GPT_OSS_20B.weights[layout] / GIB, 1) for layout in layouts]
    large = [round(GPT_OSS_120B.weights[layout] / GIB, 1) for layout in layouts]
    assert small == [12.8, 12.8, 12.8, 13.4, 13.7, 13.7]
    assert large == [60.8, 60.8, 60.8, 64.3, 66.0, 65.9]


def test_experts_are_padded_when_they_are_split() -> None:
    """Over 4 GPUs, 720 columns become 768: each has more than a quarter of the experts."""
    whole = fit.weight_bytes(GPT_OSS_120B, Layout.TRITON, 1)
    assert whole == GPT_OSS_120B.weights[Layout.TRITON]
    per_gpu = {tp: fit.weight_bytes(GPT_OSS_120B, Layout.TRITON, tp) for tp in fit.TP_SIZES}
    assert per_gpu[4] / (whole / 4) == pytest.approx(1 + 0.0667 * 0.935, abs=0.003)
    assert per_gpu[2] / (whole / 2) == pytest.approx(1 + 0.0222 * 0.935, abs=0.003)
    assert per_gpu[1] > per_gpu[2] > per_gpu[4] > per_gpu[8]


@pytest.mark.parametrize(
    ("gpu", "tp", "expected"),
    [
        ("L4", 4, 211_000),
        ("RTX 3090", 4, 304_000),
        ("RTX 4090", 4, 299_000),
        ("RTX 5090", 4, 689_000),
        ("L40S", 2, 273_000),
        ("RTX A6000", 2, 364_000),
    ],
)
def test_the_120b_fits_on_several_smaller_gpus(gpu: str, tp: int, expected: int) -> None:
    """With its experts padded to whole blocks on each of them.

    720 of 2,880 columns become 768 on each of 4 GPUs, a GB more than a quarter of the weights. On
    4 L4, a quarter would leave 273,764 tokens; what SGLang allocates (create_weights of its
    Mxfp4MoEMethod) leaves 211,204. Estimates with less padding, such as 252,000, are too high.
    """
    assert tokens(GPT_OSS_120B, gpu, 0.8, tp=tp) == pytest.approx(expected, rel=0.01)


def test_a_token_takes_so_many_bytes() -> None:
    """2,048 in each full layer and a share of it in each window layer; FP8 halves it."""
    assert fit.slot_bytes(GPT_OSS_20B, 1) == 12 * 2048
    assert fit.slot_bytes(GPT_OSS_120B, 1) == 18 * 2048
    assert fit.slot_bytes(GPT_OSS_120B, 4) == 18 * 512
    assert fit.slot_bytes(GPT_OSS_120B, 1, element_bytes=1) == 18 * 1024


def test_the_ratio_is_the_largest_with_which_the_context_fits() -> None:
    """Never over SGLang's 0.8, and never under 0.25."""
    slot = fit.slot_bytes(GPT_OSS_120B, 1)
    h100 = 0.9 * gpu_named("H100 80GB").free - GPT_OSS_120B.weights[Layout.HOPPER]
    assert fit.ratio_for(h100, slot, 131_072) == 0.44
    assert fit.pool_tokens(h100, slot, 0.44) >= 131_072 > fit.pool_tokens(h100, slot, 0.45)
    assert fit.ratio_for(h100, slot, 32_768) == 0.8
    assert fit.ratio_for(h100 / 2, slot, 131_072) == 0.25


def test_the_window_pool_must_serve_all_requests() -> None:
    """64 requests need 32,897 slots, a quarter of 131,072."""
    assert fit.window_slots(64, 8192) == 32_897
    assert fit.window_slots(64, 8192) / 131_072 == pytest.approx(0.25, abs=0.002)
    assert fit.requests_served(32_897, 8192) == 64
    assert fit.requests_served(32_896, 8192) == 63
    assert fit.requests_served(1000, 8192) == 0


def test_the_longest_context_leaves_the_window_pool_its_slots() -> None:
    """Of 100,000 slots, requests that need 30,000 leave 70,000; one that needs few takes 80,000."""
    assert fit.longest_context(100_000, 1, 30_000) == 68 * 1024
    assert fit.longest_context(100_000, 1, 100) == 78 * 1024
    assert fit.longest_context(100_000, 1, 90_000) == 54 * 1024  # SGLang's own ratio is better
    assert fit.longest_context(10_000_000, 1, 100) == 131_072
    assert fit.longest_context(-1, 1, 100) == 0

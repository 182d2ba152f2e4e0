"""Whether a model fits on a machine, and the one line that says why not and what to set."""

from dataclasses import replace
from typing import Any

import pytest

from worker.model.fit import GPT_OSS_20B, GPT_OSS_120B, ModelSize
from worker.model.gpus import GIB, Gpu, gpu_named
from worker.model.verdict import Demand, demand_of, judge, judge_machine
from worker.settings import Settings, SettingsError

SMALL, LARGE = GPT_OSS_20B, GPT_OSS_120B


def gpu(capability: tuple[int, int] | None, total: float, free: float) -> Gpu:
    """One that is in no table; sizes in GiB."""
    return Gpu("X", capability, int(total * GIB), int(free * GIB))


# The GPUs of a machine, a model, the settings, and the line with which it is refused.
REFUSED: list[tuple[list[Gpu], ModelSize, dict[str, Any], str]] = [
    (
        [gpu_named("Tesla V100")],
        SMALL,
        {},
        (
            "Tesla V100 has compute capability 7.0, but MXFP4 weights need 8.0 or higher: choose "
            "an Ampere GPU or a newer one."
        ),
    ),
    (
        [gpu_named("MI300X")],
        LARGE,
        {},
        "MI300X: SGLang 0.5.23 cannot load gpt-oss's MXFP4 weights on it: choose an NVIDIA GPU.",
    ),
    (
        [gpu((8, 6), 12, 11.2)],
        SMALL,
        {},
        (
            "gpt-oss-20b does not fit on X: its weights take 12.8 GiB, and "
            "MEM_FRACTION_STATIC=0.9 leaves them 10.1 GiB: set TENSOR_PARALLEL_SIZE=2 on 2 GPUs."
        ),
    ),
    (
        [gpu_named("RTX A4000")],
        SMALL,
        {},
        (
            "gpt-oss-20b does not fit on RTX A4000 with 131,072 tokens of context: the KV cache "
            "holds at most 26,615: set MAX_MODEL_LEN=17408, or TENSOR_PARALLEL_SIZE=2 on 2 GPUs."
        ),
    ),
    (
        [gpu_named("L4")],
        SMALL,
        {"mem_fraction_static": 0.7},
        (
            "gpt-oss-20b does not fit on L4 with 131,072 tokens of context: the KV cache holds at"
            " most 80,092: set MEM_FRACTION_STATIC=0.77, or MAX_MODEL_LEN=74752, or "
            "TENSOR_PARALLEL_SIZE=2 on 2 GPUs."
        ),
    ),
    (
        [gpu_named("L4")],
        SMALL,
        {"mem_fraction_static": 0.5},
        (
            "gpt-oss-20b does not fit on L4: its weights take 12.8 GiB, and "
            "MEM_FRACTION_STATIC=0.5 leaves them 10.8 GiB: set MEM_FRACTION_STATIC=0.77, or "
            "TENSOR_PARALLEL_SIZE=2 on 2 GPUs."
        ),
    ),
    (
        [gpu_named("RTX 4090")],
        LARGE,
        {},
        (
            "gpt-oss-120b does not fit on RTX 4090: its weights take 60.8 GiB, and "
            "MEM_FRACTION_STATIC=0.9 leaves them 20.8 GiB: set TENSOR_PARALLEL_SIZE=4 on 4 GPUs."
        ),
    ),
    (
        [gpu_named("L40S")],
        LARGE,
        {"max_model_len": None},
        (
            "gpt-oss-120b does not fit on L40S: its weights take 60.8 GiB, and "
            "MEM_FRACTION_STATIC=0.9 leaves them 39.5 GiB: set TENSOR_PARALLEL_SIZE=2 on 2 GPUs."
        ),
    ),
    (
        [gpu_named("RTX 4090")] * 2,
        LARGE,
        {},
        (
            "gpt-oss-120b does not fit on 2 x RTX 4090: its weights take 31.1 GiB, and "
            "MEM_FRACTION_STATIC=0.9 leaves them 20.8 GiB: set TENSOR_PARALLEL_SIZE=4 on 4 GPUs."
        ),
    ),
    (
        [gpu_named("H100 80GB")],
        LARGE,
        {"engine_args": {"swa_full_tokens_ratio": 0.8}},
        (
            "gpt-oss-120b does not fit on H100 80GB with 131,072 tokens of context: the KV cache "
            "holds at most 105,013: set swa_full_tokens_ratio=0.44 in ENGINE_ARGS, or "
            "MEM_FRACTION_STATIC=0.93, or MAX_MODEL_LEN=104448, or TENSOR_PARALLEL_SIZE=2 on 2 "
            "GPUs."
        ),
    ),
    (
        [gpu_named("H100 80GB")],
        LARGE,
        {"mem_fraction_static": 0.85},
        (
            "gpt-oss-120b does not fit on H100 80GB with 131,072 tokens of context: the KV cache "
            "holds at most 59,643: set MEM_FRACTION_STATIC=0.89, or MAX_MODEL_LEN=40960, or "
            "TENSOR_PARALLEL_SIZE=2 on 2 GPUs."
        ),
    ),
    (
        [gpu_named("H100 80GB")],
        LARGE,
        {"engine_args": {"mem_fraction_static": 0.8, "context_length": 100_000}},
        (
            "gpt-oss-120b does not fit on H100 80GB: its weights take 64.3 GiB, and "
            "mem_fraction_static=0.8 in ENGINE_ARGS leaves them 62.9 GiB: set "
            "mem_fraction_static=0.88 in ENGINE_ARGS, or TENSOR_PARALLEL_SIZE=2 on 2 GPUs."
        ),
    ),
    (
        [gpu_named("H100 80GB")],
        LARGE,
        {"chunked_prefill": False},
        (
            "gpt-oss-120b does not fit on H100 80GB with 131,072 tokens of context: the KV cache "
            "holds at most 105,013: set CHUNKED_PREFILL=true, or MAX_MODEL_LEN=83968, or "
            "TENSOR_PARALLEL_SIZE=2 on 2 GPUs."
        ),
    ),
    (
        [gpu_named("A100 80GB")],
        LARGE,
        {"chunked_prefill": False, "max_model_len": 131_072},
        (
            "gpt-oss-120b cannot take 131,072 tokens on A100 80GB without chunked prefill: the "
            "window pool holds 129,300: set CHUNKED_PREFILL=true, or MEM_FRACTION_STATIC=0.91, or"
            " MAX_MODEL_LEN=129024, or TENSOR_PARALLEL_SIZE=2 on 2 GPUs."
        ),
    ),
    (
        [gpu_named("A100 80GB")] * 3,
        LARGE,
        {},
        "TENSOR_PARALLEL_SIZE=3 does not divide gpt-oss's 8 KV heads: set TENSOR_PARALLEL_SIZE=2.",
    ),
    (
        [gpu_named("L4")] * 8,
        SMALL,
        {"engine_args": {"tp_size": 6}},
        (
            "tp_size=6 in ENGINE_ARGS does not divide gpt-oss's 8 KV heads: set tp_size=4 in "
            "ENGINE_ARGS."
        ),
    ),
    (
        [gpu_named("L4")] * 2,
        LARGE,
        {"tensor_parallel_size": 4},
        (
            "TENSOR_PARALLEL_SIZE=4 needs more GPUs than this machine has (2), and gpt-oss-120b "
            "fits on no fewer: choose more GPUs, or larger ones."
        ),
    ),
    (
        [gpu_named("A100 80GB")] * 2,
        LARGE,
        {"tensor_parallel_size": 4},
        (
            "TENSOR_PARALLEL_SIZE=4 needs more GPUs than this machine has (2): set "
            "TENSOR_PARALLEL_SIZE=2."
        ),
    ),
    (
        [gpu_named("RTX 4090")] * 3,
        LARGE,
        {},
        (
            "TENSOR_PARALLEL_SIZE=3 does not divide gpt-oss's 8 KV heads, and gpt-oss-120b fits "
            "on no fewer: choose more GPUs, or larger ones."
        ),
    ),
    (
        [gpu_named("RTX 4090")],
        SMALL,
        {"engine_args": {"tp_size": 0}},
        (
            "tp_size=0 in ENGINE_ARGS does not divide gpt-oss's 8 KV heads: set tp_size=1 in "
            "ENGINE_ARGS."
        ),
    ),
    (
        [gpu_named("RTX 4090")],
        SMALL,
        {"max_model_len": 8192, "engine_args": {"swa_full_tokens_ratio": 0.0001}},
        (
            "The sliding-window cache holds 34 tokens, fewer than one request of gpt-oss-20b "
            "needs: set swa_full_tokens_ratio=0.8 in ENGINE_ARGS, or TENSOR_PARALLEL_SIZE=4 on 4 "
            "GPUs."
        ),
    ),
    (
        [gpu_named("RTX 4000 Ada")],
        SMALL,
        {"max_model_len": 100_000, "engine_args": {"chunked_prefill_size": -1}},
        (
            "gpt-oss-20b cannot take 100,000 tokens on RTX 4000 Ada without chunked prefill: the "
            "window pool holds 84,691: set chunked_prefill_size=2048 in ENGINE_ARGS, or "
            "MAX_MODEL_LEN=83968, or TENSOR_PARALLEL_SIZE=2 on 2 GPUs."
        ),
    ),
    (
        [gpu((8, 9), 24, 22.5), gpu((8, 9), 24, 6.0)],
        SMALL,
        {},
        (
            "gpt-oss-20b does not fit on 2 x X: its weights take 6.5 GiB, and "
            "MEM_FRACTION_STATIC=0.9 leaves them 5.4 GiB: set TENSOR_PARALLEL_SIZE=4 on 4 GPUs."
        ),
    ),
    (
        [gpu_named("RTX 4090")],
        SMALL,
        {"engine_args": {"swa_full_tokens_ratio": 1.5}},
        "swa_full_tokens_ratio=1.5 in ENGINE_ARGS must be over 0, and 1 at most.",
    ),
    (
        [gpu_named("RTX 4090")],
        SMALL,
        {"engine_args": {"max_total_tokens": 50_000}},
        (
            "gpt-oss-20b does not fit on RTX 4090 with 131,072 tokens of context: the KV cache "
            "holds at most 50,000: set max_total_tokens=131200 in ENGINE_ARGS, or "
            "MAX_MODEL_LEN=49152."
        ),
    ),
    (
        [gpu_named("RTX 4090")],
        SMALL,
        {"engine_args": {"mem_fraction_static": 1.2}},
        "mem_fraction_static=1.2 in ENGINE_ARGS must be greater than 0 and less than 1.",
    ),
]


@pytest.mark.parametrize(("gpus", "size", "changes", "line"), REFUSED)
def test_what_cannot_fit_is_refused_in_one_line(
    gpus: list[Gpu], size: ModelSize, changes: dict[str, Any], line: str
) -> None:
    """It names what is wrong and every setting that would help, each on its own."""
    verdict = judge_machine(demand_of(Settings(**changes), size, len(gpus)), gpus)
    assert verdict.refusals == (line,)
    assert not verdict.fits


# The GPUs of a machine, a model, the settings; tokens, context and ratio.
FITS: list[tuple[list[Gpu], ModelSize, dict[str, Any], tuple[int, int, float]]] = [
    ([gpu_named("RTX 4090")], SMALL, {}, (193_245, 131_072, 0.8)),
    ([gpu_named("RTX 4000 Ada")], SMALL, {}, (131_417, 131_072, 0.45)),
    ([gpu_named("A100 80GB")], LARGE, {}, (161_625, 131_072, 0.8)),
    ([gpu_named("H100 80GB")], LARGE, {}, (131_266, 131_072, 0.44)),
    ([gpu_named("H100 80GB")], LARGE, {"max_model_len": 100_000}, (105_013, 100_000, 0.8)),
    ([gpu_named("H100 80GB")], LARGE, {"max_model_len": None}, (131_266, 131_072, 0.44)),
    ([gpu_named("H100 80GB")] * 2, LARGE, {}, (1_206_893, 131_072, 0.8)),
    ([gpu_named("RTX 4090")] * 4, LARGE, {}, (298_586, 131_072, 0.8)),
    ([gpu_named("RTX A4000")], SMALL, {"max_model_len": None}, (18_482, 17_408, 0.8)),
    ([gpu_named("RTX A4000")], SMALL, {"max_model_len": 25_000}, (25_202, 25_000, 0.32)),
    (
        [gpu_named("H100 80GB")],
        LARGE,
        {"max_model_len": None, "engine_args": {"swa_full_tokens_ratio": 0.8}},
        (105_013, 104_448, 0.8),
    ),
    (
        [gpu_named("H100 80GB")],
        LARGE,
        {"engine_args": {"kv_cache_dtype": "fp8_e4m3"}},
        (210_027, 131_072, 0.8),
    ),
    (
        [gpu_named("H100 80GB")],
        LARGE,
        {"engine_args": {"mem_fraction_static": 0.92}},
        (131_917, 131_072, 0.78),
    ),
    (
        [gpu_named("L40S")] * 4,
        LARGE,
        {"engine_args": {"tp_size": 2, "context_length": 120_000}},
        (273_300, 120_000, 0.8),
    ),
    (
        [gpu_named("RTX 4090")],
        SMALL,
        {"max_model_len": 8192, "engine_args": {"max_total_tokens": 50_000}},
        (50_000, 8192, 0.8),
    ),
]


@pytest.mark.parametrize(("gpus", "size", "changes", "numbers"), FITS)
def test_what_fits_is_told_its_numbers(
    gpus: list[Gpu], size: ModelSize, changes: dict[str, Any], numbers: tuple[int, int, float]
) -> None:
    """Tokens within 1 %; the context as asked, or what fits; the ratio that makes it fit."""
    verdict = judge_machine(demand_of(Settings(**changes), size, len(gpus)), gpus)
    assert verdict.refusals == ()
    tokens, context, ratio = numbers
    assert verdict.kv_tokens == pytest.approx(tokens, rel=0.01)
    assert verdict.kv_tokens >= verdict.context
    assert (verdict.context, verdict.ratio) == (context, ratio)


@pytest.mark.parametrize("name", ["RTX A4000", "RTX 4000 Ada", "RTX 4090", "H100 80GB", "B200"])
@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("fraction", [0.80, 0.85, 0.90])
def test_auto_fits_wherever_anything_does(name: str, size: ModelSize, fraction: float) -> None:
    """And what it chose fits when it is asked for, too."""
    kind = gpu_named(name)
    chosen = judge(Demand(size, context_length=None, mem_fraction_static=fraction), kind)
    assert chosen.fits == (chosen.context > 0)
    asked = Demand(size, context_length=max(1024, chosen.context), mem_fraction_static=fraction)
    assert judge(asked, kind).fits == chosen.fits


def test_a_lowered_ratio_is_said() -> None:
    """SGLang's own needs no words."""
    lowered = judge(Demand(LARGE), gpu_named("H100 80GB"))
    assert lowered.notes == (
        "swa_full_tokens_ratio is 0.44 instead of 0.8, so that 131,072 tokens fit.",
    )
    assert judge(Demand(LARGE), gpu_named("H200")).notes == ()


def test_too_little_slack_is_said() -> None:
    """A GPU with 24 GB prefills 4,096 tokens at a time."""
    (note,) = judge(Demand(SMALL, mem_fraction_static=0.97), gpu_named("RTX 4090")).notes
    assert note == (
        "0.7 GiB are left for activations and CUDA graphs, which may need 1.0 GiB: set "
        "MEM_FRACTION_STATIC=0.95."
    )


def test_a_window_pool_that_makes_requests_wait_is_said() -> None:
    """A request needs 258 slots of it, whatever its length."""
    (note,) = judge(Demand(SMALL, context_length=17_408), gpu_named("RTX A4000")).notes
    assert note == (
        "The sliding-window cache serves about 41 requests at once, not 64: set "
        "MAX_RUNNING_REQUESTS=41, or some will wait."
    )


def test_memory_that_other_processes_have_is_said() -> None:
    """It may be why a model does not fit; up to a GiB is the driver's own."""

    def judged(used: float, free: float) -> tuple[str, ...]:
        used_gpu = replace(gpu_named("L4"), free=int(free * GIB), used=int(used * GIB))
        return judge_machine(Demand(SMALL, context_length=8192), [used_gpu]).findings

    assert judged(0.9, 20.7) == ()
    assert judged(3.5, 18.1) == (
        "3.5 GiB of L4's memory are in use: end the process that has them.",
    )
    assert judged(11.5, 10.1) == (
        (
            "gpt-oss-20b would fit, but 11.5 GiB of L4's memory are in use: end the process that "
            "has them."
        ),
    )
    (too_small,) = judged(1.5, 8.0)
    assert too_small.startswith("gpt-oss-20b does not fit on L4: its weights take 12.8 GiB")


def test_arguments_that_the_formula_does_not_know_are_named() -> None:
    """Nothing is refused on such grounds (worker/fitness.py)."""
    settings = Settings(engine_args={"pp_size": 2, "kv_cache_dtype": "nvfp4", "dp_size": None})
    verdict = judge(demand_of(settings, LARGE), gpu_named("L40S"))
    assert not verdict.is_certain
    assert verdict.demand.not_counted == ("pp_size", "kv_cache_dtype")
    fitting = judge(demand_of(settings, SMALL), gpu_named("L40S"))
    assert fitting.notes == ("ENGINE_ARGS pp_size, kv_cache_dtype: not counted in these numbers.",)


@pytest.mark.parametrize(
    ("engine_args", "line"),
    [
        ({"tp_size": "2"}, "ENGINE_ARGS tp_size must be an integer, got '2'"),
        ({"context_length": True}, "ENGINE_ARGS context_length must be an integer, got True"),
        (
            {"swa_full_tokens_ratio": "0.4"},
            "ENGINE_ARGS swa_full_tokens_ratio must be a number, got '0.4'",
        ),
    ],
)
def test_a_number_that_is_none_is_named(engine_args: dict[str, Any], line: str) -> None:
    """SGLang would end with a traceback."""
    with pytest.raises(SettingsError) as caught:
        demand_of(Settings(engine_args=engine_args), SMALL)
    assert str(caught.value) == line


def test_a_context_over_the_models_own_is_not_asked_for() -> None:
    """MAX_MODEL_LEN is a limit."""
    assert demand_of(Settings(max_model_len=500_000), SMALL).context_length == 131_072

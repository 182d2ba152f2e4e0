"""Whether a model fits on a GPU with the settings asked for, as text, one line per finding.

A `Demand` is what the settings ask for; SGLang's arguments in ENGINE_ARGS count before the worker's
own variables, as they do in the engine. `judge` applies the memory formula (fit.py) to it, chooses
swa_full_tokens_ratio, and tries for each refusal which other setting would help, so that a line
never proposes what would be refused next.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from worker.model import fit
from worker.model.draft import Draft, draft_for
from worker.model.fit import ModelSize
from worker.model.gpu_defaults import GpuDefaults, defaults_for
from worker.model.gpus import GIB, Gpu
from worker.settings import Settings, SettingsError

_VARIABLES = {
    "context_length": "MAX_MODEL_LEN",
    "mem_fraction_static": "MEM_FRACTION_STATIC",
    "tp_size": "TENSOR_PARALLEL_SIZE",
    "chunked_prefill_size": "CHUNKED_PREFILL",
    "max_running_requests": "MAX_RUNNING_REQUESTS",
}
"""SGLang's arguments that have a variable of their own."""

_ELEMENT_BYTES = {"auto": 2, "bf16": 2, "bfloat16": 2, "fp8_e4m3": 1, "fp8_e5m2": 1}
"""kv_cache_dtype; auto is bfloat16, because gpt-oss has attention sinks."""

_UNCHUNKED = 16384
"""SGLang's max_prefill_tokens: how much it prefills at once if prompts are not cut into chunks."""

_HIGHEST_FRACTION = 97
"""The highest mem_fraction_static proposed, in hundredths."""

_NOT_COUNTED = (
    "attn_cp_size", "base_gpu_id", "cpu_offload_gb", "device", "disable_radix_cache", "dp_size",
    "dtype", "enable_dp_attention", "enable_lora", "enable_unified_memory", "ep_size",
    "json_model_override_args", "load_format", "lora_paths", "model_path", "moe_runner_backend",
    "nnodes", "page_size", "pp_size", "quantization", "speculative_algorithm",
)  # fmt: skip
"""SGLang's arguments that change the numbers in ways that the formula does not know."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What the settings ask of a GPU. Fields are named after SGLang's arguments.

    `context_length`: None for as much as fits. `swa_full_tokens_ratio`: None to have it chosen.
    `chunked_prefill_size`: None for SGLang's own, which depends on the GPU; -1 for no chunks.
    `draft`: of speculative decoding. `from_engine_args`: the fields that ENGINE_ARGS sets.
    `not_counted`: what else it sets that changes the numbers.
    """

    size: ModelSize
    context_length: int | None = fit.MAX_CONTEXT
    mem_fraction_static: float = 0.90
    tp_size: int = 1
    swa_full_tokens_ratio: float | None = None
    element_bytes: int = 2
    max_running_requests: int = 64
    chunked_prefill_size: int | None = None
    max_total_tokens: int | None = None
    draft: Draft | None = None
    from_engine_args: frozenset[str] = frozenset()
    not_counted: tuple[str, ...] = ()

    def setting(self, argument: str, value: object) -> str:
        """How a user sets an argument, where it is set now: `MAX_MODEL_LEN=1024`."""
        variable = _VARIABLES.get(argument)
        if variable is None or argument in self.from_engine_args:
            return f"{argument}={value} in ENGINE_ARGS"
        return f"{variable}={value}"


def demand_of(settings: Settings, size: ModelSize, gpus: int = 1) -> Demand:
    """What the settings ask for, on a machine with this many GPUs. Raises SettingsError."""
    given = {key: value for key, value in settings.engine_args.items() if value is not None}
    _check_numbers(given)
    dtype = str(given.get("kv_cache_dtype", "auto"))
    not_counted = [name for name in _NOT_COUNTED if given.get(name)]
    if dtype not in _ELEMENT_BYTES:
        not_counted.append("kv_cache_dtype")
    return Demand(
        size=size,
        context_length=given.get("context_length", _at_most_the_models(settings.max_model_len)),
        mem_fraction_static=given.get("mem_fraction_static", settings.mem_fraction_static),
        tp_size=given.get("tp_size", settings.tensor_parallel_size or max(1, gpus)),
        swa_full_tokens_ratio=given.get("swa_full_tokens_ratio"),
        element_bytes=_ELEMENT_BYTES.get(dtype, 2),
        max_running_requests=given.get("max_running_requests", settings.max_running_requests),
        chunked_prefill_size=given.get(
            "chunked_prefill_size", None if settings.chunked_prefill else -1
        ),
        max_total_tokens=given.get("max_total_tokens"),
        draft=draft_for(settings, size),
        from_engine_args=frozenset(given),
        not_counted=tuple(not_counted),
    )


def _at_most_the_models(context: int | None) -> int | None:
    return None if context is None else min(context, fit.MAX_CONTEXT)


def _check_numbers(given: Mapping[str, Any]) -> None:
    kinds = {"mem_fraction_static": (int, float), "swa_full_tokens_ratio": (int, float)}
    for name in (*_VARIABLES, "swa_full_tokens_ratio", "max_total_tokens"):
        value, kind = given.get(name), kinds.get(name, (int,))
        if value is not None and (isinstance(value, bool) or not isinstance(value, kind)):
            wanted = "a number" if float in kind else "an integer"
            raise SettingsError(f"ENGINE_ARGS {name} must be {wanted}, got {value!r}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a demand can be met on a GPU, and with which numbers.

    `gpu`: its name, with the count if it takes several. `kv_tokens`: what the KV cache holds; 0 if
    the weights do not fit. `context`: as asked, or what was chosen for MAX_MODEL_LEN=auto. `ratio`:
    swa_full_tokens_ratio. `defaults`: what the GPU's memory decides beside it. `refusals`: why it
    does not fit. `notes`: what else is worth knowing.
    """

    gpu: str
    demand: Demand
    defaults: GpuDefaults
    kv_tokens: int = 0
    context: int = 0
    ratio: float = fit.SGLANG_RATIO
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        return not self.refusals

    @property
    def is_certain(self) -> bool:
        """False if ENGINE_ARGS has arguments that the formula does not know."""
        return not self.demand.not_counted

    @property
    def findings(self) -> tuple[str, ...]:
        return *self.refusals, *self.notes

    @property
    def settings(self) -> dict[str, float]:
        """The settings that the verdict is about, by the names under which they are set."""
        return {
            "MAX_MODEL_LEN": self.context,
            "MEM_FRACTION_STATIC": self.demand.mem_fraction_static,
            "TENSOR_PARALLEL_SIZE": self.demand.tp_size,
            "MAX_RUNNING_REQUESTS": self.demand.max_running_requests,
            "swa_full_tokens_ratio": self.ratio,
        }


def judge_machine(demand: Demand, gpus: Sequence[Gpu]) -> Verdict:
    """Whether a demand can be met on a machine's GPUs, of which SGLang takes the first `tp_size`.

    The one with the least free memory decides.
    """
    gpu = min(gpus[: max(1, demand.tp_size)], key=lambda gpu: gpu.free)
    verdict = judge(demand, gpu, len(gpus))
    if gpu.used <= GIB:
        return verdict
    used = f"{gpu.used / GIB:.1f} GiB of {gpu.name}'s memory are in use"
    if verdict.fits:
        return replace(verdict, notes=(*verdict.notes, f"{used}: end the process that has them."))
    if judge(demand, replace(gpu, free=gpu.free + gpu.used), len(gpus)).fits:
        line = f"{demand.size.name} would fit, but {used}: end the process that has them."
        return replace(verdict, refusals=(line,))
    return verdict


def judge(demand: Demand, gpu: Gpu, available: int = max(fit.TP_SIZES)) -> Verdict:
    """Whether a demand can be met on `tp_size` GPUs of this kind, of which so many are there."""
    name = gpu.name if demand.tp_size == 1 else f"{demand.tp_size} x {gpu.name}"
    blank = Verdict(name, demand, defaults_for(gpu), context=demand.context_length or 0)
    if impossible := _impossible(demand, gpu) or _wrong_tp_size(demand, gpu, available):
        return replace(blank, refusals=(impossible,))
    memory = _Memory(demand, gpu)
    verdict = replace(blank, kv_tokens=memory.tokens, context=memory.context, ratio=memory.ratio)
    if memory.fits:
        return replace(verdict, notes=tuple(_notes(memory)))
    return replace(verdict, refusals=(_refusal(memory, name),))


def _impossible(demand: Demand, gpu: Gpu) -> str | None:
    """What no amount of memory would make possible."""
    if gpu.capability is None:
        return (
            f"{gpu.name}: SGLang 0.5.23 cannot load gpt-oss's MXFP4 weights on it: "
            "choose an NVIDIA GPU."
        )
    if gpu.capability < (8, 0):
        major, minor = gpu.capability
        return (
            f"{gpu.name} has compute capability {major}.{minor}, but MXFP4 weights need 8.0 or "
            "higher: choose an Ampere GPU or a newer one."
        )
    if not 0 < demand.mem_fraction_static < 1:
        return (
            f"{demand.setting('mem_fraction_static', demand.mem_fraction_static)} must be greater "
            "than 0 and less than 1."
        )
    ratio = demand.swa_full_tokens_ratio
    if ratio is not None and not 0 < ratio <= 1:
        return f"swa_full_tokens_ratio={ratio} in ENGINE_ARGS must be over 0, and 1 at most."
    return None


def _wrong_tp_size(demand: Demand, gpu: Gpu, available: int) -> str | None:
    asked = demand.setting("tp_size", demand.tp_size)
    if demand.tp_size not in fit.TP_SIZES:
        what = f"{asked} does not divide gpt-oss's 8 KV heads"
    elif demand.tp_size > available:
        what = f"{asked} needs more GPUs than this machine has ({available})"
    else:
        return None
    fitting = [tp for tp in _fitting_tp_sizes(demand, gpu) if tp <= available]
    smaller = [tp for tp in fitting if tp < demand.tp_size]
    if best := smaller[-1:] or fitting[:1]:
        return f"{what}: set {demand.setting('tp_size', best[0])}."
    return f"{what}, and {demand.size.name} fits on no fewer: choose more GPUs, or larger ones."


def _fitting_tp_sizes(demand: Demand, gpu: Gpu) -> list[int]:
    """Over how many GPUs of this kind it fits."""
    return [tp for tp in fit.TP_SIZES if _Memory(replace(demand, tp_size=tp), gpu).fits]


class _Memory:
    """The formula's numbers for a demand on a GPU that can be met if there is enough memory."""

    def __init__(self, demand: Demand, gpu: Gpu) -> None:
        self.demand, self.gpu = demand, gpu
        layout = fit.layout_for(gpu)
        self.weights = fit.weight_bytes(demand.size, layout, demand.tp_size)
        if demand.draft:
            self.weights += demand.draft.weights / demand.tp_size
        draft_layers = demand.draft.layers if demand.draft else 0
        self.full = 1 + draft_layers / (demand.size.layers / 2)
        self.kv = fit.kv_bytes(gpu.free, demand.mem_fraction_static, self.weights)
        self.slot = fit.slot_bytes(demand.size, demand.tp_size, demand.element_bytes)
        chunk = demand.chunked_prefill_size
        self.is_chunked = chunk is None or chunk > 0
        self.chunk = (chunk or defaults_for(gpu).chunk) if self.is_chunked else _UNCHUNKED
        self.context = demand.context_length or self._longest_context()
        self.ratio = demand.swa_full_tokens_ratio or self._chosen_ratio()
        self.tokens = self._capped(fit.pool_tokens(self.kv, self.slot, self.ratio, self.full))
        self.window_slots = int(self.tokens * self.ratio)

    def _capped(self, tokens: int) -> int:
        return min(tokens, self.demand.max_total_tokens or tokens)

    def _chosen_ratio(self) -> float:
        """A prompt that is not cut into chunks must fit in the window pool as a whole."""
        if not self.is_chunked:
            return fit.SGLANG_RATIO
        return fit.ratio_for(self.kv, self.slot, self.context, self.full)

    def _longest_context(self) -> int:
        """What MAX_MODEL_LEN=auto takes."""
        fixed = self.demand.swa_full_tokens_ratio
        if fixed is None and self.is_chunked:
            needed = fit.window_slots(self.demand.max_running_requests, self.chunk)
            longest = fit.longest_context(self.kv, self.slot, needed, self.full)
        else:
            ratio = fixed or fit.SGLANG_RATIO
            longest = int(
                fit.pool_tokens(self.kv, self.slot, ratio, self.full) * self._share(ratio)
            )
        return min(self._capped(longest), fit.MAX_CONTEXT) // 1024 * 1024

    def _share(self, ratio: float) -> float:
        """How much of the full pool one prompt can use."""
        return 1 if self.is_chunked else min(1, ratio)

    @property
    def fits(self) -> bool:
        longest = int(self.tokens * self._share(self.ratio))
        return 0 < self.context <= longest and self.serves_one

    @property
    def serves_one(self) -> bool:
        """SGLang refuses to start if the window pool cannot hold one window and a page."""
        return self.window_slots > fit.WINDOW + 1

    @property
    def slack(self) -> float:
        """What is left for activations and CUDA graphs."""
        return (1 - self.demand.mem_fraction_static) * self.gpu.free

    @property
    def is_tight(self) -> bool:
        return self.slack < fit.activation_bytes(self.chunk)


def _refusal(memory: _Memory, name: str) -> str:
    demand = memory.demand
    if memory.kv <= 0:
        fraction = demand.setting("mem_fraction_static", demand.mem_fraction_static)
        static = demand.mem_fraction_static * memory.gpu.free
        what = (
            f"{demand.size.name} does not fit on {name}: its weights take "
            f"{memory.weights / GIB:.1f} GiB, and {fraction} leaves them {static / GIB:.1f} GiB"
        )
    elif 0 < memory.context <= memory.tokens and not memory.serves_one:
        what = (
            f"The sliding-window cache holds {memory.window_slots} tokens, fewer than one request "
            f"of {demand.size.name} needs"
        )
    elif 0 < memory.context <= memory.tokens:
        what = (
            f"{demand.size.name} cannot take {memory.context:,} tokens on {name} without chunked "
            f"prefill: the window pool holds {memory.window_slots:,}"
        )
    else:
        what = (
            f"{demand.size.name} does not fit on {name} with {memory.context or 1024:,} tokens of "
            f"context: the KV cache holds at most {memory.tokens:,}"
        )
    cures = list(_cures(memory))
    return f"{what}: set {', or '.join(cures)}." if cures else f"{what}: choose a larger GPU."


def _cures(memory: _Memory) -> Iterator[str]:
    """The settings each of which, changed alone, makes it fit."""
    demand, gpu = memory.demand, memory.gpu
    if not memory.is_chunked and _Memory(replace(demand, chunked_prefill_size=None), gpu).fits:
        in_engine_args = "chunked_prefill_size" in demand.from_engine_args
        value = defaults_for(gpu).chunk if in_engine_args else "true"
        yield demand.setting("chunked_prefill_size", value)
    if demand.max_total_tokens and _Memory(replace(demand, max_total_tokens=None), gpu).fits:
        yield demand.setting("max_total_tokens", memory.context + fit.PAGE_MARGIN)
    chosen = _Memory(replace(demand, swa_full_tokens_ratio=None), gpu)
    if demand.swa_full_tokens_ratio is not None and chosen.fits:
        yield demand.setting("swa_full_tokens_ratio", chosen.ratio)
    if (fraction := _least_fraction(demand, gpu)) is not None:
        yield demand.setting("mem_fraction_static", fraction)
    shorter = _Memory(replace(demand, context_length=None), gpu)
    if demand.context_length is not None and shorter.fits:
        yield demand.setting("context_length", shorter.context)
    for tp in _fitting_tp_sizes(demand, gpu):
        if tp > demand.tp_size:
            yield f"{demand.setting('tp_size', tp)} on {tp} GPUs"
            break


def _least_fraction(demand: Demand, gpu: Gpu) -> float | None:
    """The least higher mem_fraction_static that makes it fit and leaves enough for activations."""
    for hundredths in range(math.ceil(demand.mem_fraction_static * 100), _HIGHEST_FRACTION + 1):
        raised = _Memory(replace(demand, mem_fraction_static=hundredths / 100), gpu)
        if raised.fits:
            return None if raised.is_tight else hundredths / 100
    return None


def _notes(memory: _Memory) -> Iterator[str]:
    demand = memory.demand
    if demand.swa_full_tokens_ratio is None and memory.ratio < fit.SGLANG_RATIO:
        yield (
            f"swa_full_tokens_ratio is {memory.ratio:.2f} instead of {fit.SGLANG_RATIO}, so that "
            f"{memory.context:,} tokens fit."
        )
    if memory.is_tight:
        needed = fit.activation_bytes(memory.chunk)
        lower = math.floor((1 - needed / memory.gpu.free) * 100) / 100
        yield (
            f"{memory.slack / GIB:.1f} GiB are left for activations and CUDA graphs, which may "
            f"need {needed / GIB:.1f} GiB: set {demand.setting('mem_fraction_static', lower)}."
        )
    at_once = fit.requests_served(memory.window_slots, memory.chunk)
    if memory.is_chunked and at_once < demand.max_running_requests:
        yield (
            f"The sliding-window cache serves about {at_once} requests at once, not "
            f"{demand.max_running_requests}: set "
            f"{demand.setting('max_running_requests', max(1, at_once))}, or some will wait."
        )
    if demand.not_counted:
        yield f"ENGINE_ARGS {', '.join(demand.not_counted)}: not counted in these numbers."

"""Translates settings and sampling parameters into SGLang's arguments.

Does not import SGLang.
"""

import ast
import difflib
import importlib.util
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.generation import Sampling
from worker.model import Model
from worker.model.gpu_defaults import decode_graphs, few_prefill_graphs
from worker.model.verdict import Verdict
from worker.settings import Settings, SettingsError

log = logging.getLogger(__name__)


_LOSE_EXPERTS = ("presharded", "sharded_state")
"""Values of load_format that read a checkpoint which SGLang saved from the model's state dict. It
lacks gpt-oss's experts: they are kept on the quantization method, and deleted from the layer
(process_weights_after_loading in its layers/quantization/mxfp4.py)."""


def check_engine_args(given: Mapping[str, Any]) -> None:
    """Checks ENGINE_ARGS's names, and what can never work with gpt-oss.

    Raises SettingsError, whose message names what is probably meant.
    """
    known = argument_names()
    for name in given:
        if known and name not in known:
            nearest = difflib.get_close_matches(name.replace("-", "_"), known, n=1, cutoff=0)[0]
            raise SettingsError(
                f"ENGINE_ARGS: SGLang has no argument {name!r}; did you mean {nearest}?"
            )
    if (chosen := given.get("load_format")) in _LOSE_EXPERTS:
        raise SettingsError(
            f"ENGINE_ARGS load_format={chosen!r} loses gpt-oss's experts, which are not in what "
            "SGLang saves in that format: leave load_format out"
        )


def argument_names() -> frozenset[str]:
    """The names of SGLang's server arguments; empty if it is not installed.

    Read from its source, since importing them takes as long as importing all of SGLang. They are
    the annotated fields of the classes in sglang/srt/arg_groups/fields/.
    """
    package = importlib.util.find_spec("sglang")
    folders = package.submodule_search_locations if package else None
    return frozenset(
        field.target.id
        for folder in folders or ()
        for module in Path(folder, "srt/arg_groups/fields").glob("*.py")
        for group in ast.parse(module.read_text()).body
        if isinstance(group, ast.ClassDef)
        for field in group.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    )


def server_args(settings: Settings, model: Model) -> dict[str, Any]:
    """SGLang's server arguments for `model`. ENGINE_ARGS overrides any of them.

    Raises SettingsError.
    """
    check_engine_args(settings.engine_args)
    ours: dict[str, Any] = {
        "model_path": model.path,
        "revision": settings.model_revision,
        "served_model_name": model.names[0],
        "context_length": model.context_length,
        "mem_fraction_static": settings.mem_fraction_static,
        "max_running_requests": settings.max_running_requests,
        "max_queued_requests": settings.max_queued_requests,
        "tp_size": settings.tensor_parallel_size or max(1, model.gpus),
        "incremental_streaming_output": True,
        "enable_cache_report": True,
        "sleep_on_idle": True,
        "log_level": _log_level(settings, model),
        "custom_sigquit_handler": ignore_sigquit,
        **_by_gpu(settings, model.verdict),
        **model.engine_args,
    }
    if not settings.chunked_prefill:
        ours["chunked_prefill_size"] = -1
    return {key: value for key, value in ours.items() if value is not None} | settings.engine_args


def _log_level(settings: Settings, model: Model) -> str:
    """SGLang's. At our `info`, its warnings are shown, but not on a CPU: there they only say, on
    each start, that the CPU is slow."""
    if settings.log_level != "info":
        return settings.log_level
    return "error" if model.on_cpu else "warning"


def _by_gpu(settings: Settings, verdict: Verdict | None) -> dict[str, Any]:
    """What depends on the GPU; empty if it or the model's size is not known.

    With SGLang's own swa_full_tokens_ratio, the 120b would have 105,013 tokens on an H100
    (worker/model/fit.py).
    """
    if verdict is None or not verdict.is_certain:
        return {}
    row, demand = verdict.defaults, verdict.demand
    chosen: dict[str, Any] = {
        "swa_full_tokens_ratio": verdict.ratio,
        "chunked_prefill_size": row.chunk,
        "cuda_graph_max_bs_decode": decode_graphs(row, demand.tp_size, demand.max_running_requests),
    }
    if settings.prefill_graphs == "few":
        asked = demand.chunked_prefill_size or 0  # -1 if prompts are not cut
        chosen["cuda_graph_bs_prefill"] = few_prefill_graphs(asked if asked > 0 else row.chunk)
    return chosen


def ignore_sigquit(signum: int, _frame: object) -> None:
    """Ignores the SIGQUIT of a crashing child, which by default ends the parent silently.

    The crash itself is detected through the child's sentinel, or as a startup error.
    """
    log.error("an engine process crashed and sent signal %d", signum)


def sampling_params(sampling: Sampling) -> dict[str, Any]:
    """SGLang's sampling parameters."""
    return {
        "max_new_tokens": sampling.max_tokens,
        "min_new_tokens": sampling.min_tokens,
        "ignore_eos": sampling.ignore_eos,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "repetition_penalty": sampling.repetition_penalty,
        "sampling_seed": sampling.seed,
        "logit_bias": {str(k): v for k, v in sampling.logit_bias.items()} or None,
        "stop_token_ids": list(sampling.stop_ids) or None,
        "structural_tag": sampling.structural_tag,
    }

"""The served model: where its files are, its names, its context length, and whether it fits.

Rule: MODEL is resolved here, once; the rest of the worker uses the resulting `Model`. If it is a
Hugging Face model ID, its files are found (files.py) or downloaded (download.py) at boot, by
worker/boot.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.model.draft import Draft, draft_for
from worker.model.files import check_name, check_type, read_config
from worker.model.fit import MAX_CONTEXT, MODEL_SIZES, ModelSize
from worker.model.gpus import Gpu
from worker.model.verdict import Verdict, demand_of, judge_machine
from worker.settings import Settings, SettingsError

DEMO_FOLDER = Path(__file__).parent.parent.parent / ".demo-model"
"""Where `make setup` builds the demo model (builder/demo)."""

# The demo model runs without a GPU. Its KV pool has a fixed size, since SGLang would otherwise take
# most of the machine's memory, and long prompts are prefilled in chunks that suit a CPU.
_DEMO_ENGINE_ARGS = {
    "max_total_tokens": 140_000,
    "chunked_prefill_size": 2048,
    "random_seed": 0,
    "dtype": "float32",  # the checkpoint's type; SGLang would convert it to float16
}


@dataclass(frozen=True, slots=True)
class Model:
    """The served model.

    `path`: a local directory or a Hugging Face model ID. `names`: the names that requests may use;
    answers use the first. `context_length`: in tokens. `on_cpu`: whether it needs no GPU.
    `gpus`: how many this machine has. `verdict`: whether it fits on them; None if the GPUs or the
    model's size are not known.
    """

    path: str
    names: tuple[str, ...]
    context_length: int
    engine_args: Mapping[str, Any] = field(default_factory=dict[str, Any])
    on_cpu: bool = False
    gpus: int = 0
    verdict: Verdict | None = None


def resolve(settings: Settings, gpus: Sequence[Gpu] = ()) -> Model:
    """Resolves MODEL for a machine with these GPUs.

    Raises SettingsError if the demo model is selected but not built, if MODEL is neither a gpt-oss
    model's folder nor a Hugging Face model ID, or if ENGINE_ARGS has an invalid number.
    """
    demo = settings.model == "demo"
    folder = DEMO_FOLDER if demo else Path(settings.model)
    config = read_config(folder)
    if demo and not config:
        raise SettingsError("MODEL='demo', but the demo model is not built; run `make setup`")
    if config:
        check_type(settings.model, config)
    else:
        check_name(settings.model)
    size = size_of(settings.model, config)
    verdict = judge_machine(demand_of(settings, size, len(gpus)), gpus) if size and gpus else None
    return Model(
        path=str(folder) if config else settings.model,
        names=settings.served_model_name or (settings.model,),
        context_length=_context_length(settings, config, verdict),
        engine_args=_engine_args(demo, draft_for(settings, size)),
        on_cpu=demo,
        gpus=len(gpus),
        verdict=verdict,
    )


def _engine_args(demo: bool, draft: Draft | None) -> Mapping[str, Any]:
    if demo:
        return _DEMO_ENGINE_ARGS
    return draft.arguments if draft else {}


def _context_length(settings: Settings, config: Mapping[str, Any], verdict: Verdict | None) -> int:
    """As asked, as ENGINE_ARGS has it, or what fits; but never over the model's own."""
    longest = int(config.get("max_position_embeddings", MAX_CONTEXT))
    fitting = verdict.context if verdict else longest
    asked = settings.engine_args.get("context_length") or settings.max_model_len
    return min(asked or fitting or longest, longest)


def size_of(name: str, config: Mapping[str, Any]) -> ModelSize | None:
    """Which gpt-oss a model is, by its config or, if it has none yet, by OpenAI's name for it.

    None for all others, whose weights may have another size.
    """
    for size in MODEL_SIZES:
        if config:
            shape = config.get("num_hidden_layers"), config.get("num_local_experts")
            quantization = (config.get("quantization_config") or {}).get("quant_method")
            if shape == (size.layers, size.experts) and quantization == "mxfp4":
                return size
        elif name == f"openai/{size.name}":
            return size
    return None

"""The served model: where its files are, its names and its context length.

Rule: MODEL is resolved here, once; the rest of the worker uses the resulting `Model`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    """

    path: str
    names: tuple[str, ...]
    context_length: int
    engine_args: Mapping[str, Any] = field(default_factory=dict[str, Any])
    on_cpu: bool = False


def resolve(settings: Settings) -> Model:
    """Resolves MODEL. Raises SettingsError if the demo model is selected but not built."""
    demo = settings.model == "demo"
    folder = DEMO_FOLDER if demo else Path(settings.model)
    if demo and not (folder / "config.json").exists():
        raise SettingsError("MODEL='demo', but the demo model is not built; run `make setup`")
    is_folder = (folder / "config.json").exists()
    longest = settings.max_model_len
    if is_folder:
        config = json.loads((folder / "config.json").read_text())
        longest = min(longest, int(config["max_position_embeddings"]))
    return Model(
        path=str(folder) if is_folder else settings.model,
        names=settings.served_model_name or (settings.model,),
        context_length=longest,
        engine_args=_DEMO_ENGINE_ARGS if demo else {},
        on_cpu=demo,
    )

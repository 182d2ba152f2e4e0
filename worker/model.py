"""Which model is served: where its files are, what it is called, how long its context is.

Rule: what MODEL says is settled here, once; the rest of the worker sees a `Model`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.settings import Settings, SettingsError

DEMO_FOLDER = Path(__file__).parent.parent / ".demo-model"
"""Where `make` builds the demo model (builder/demo)."""

# The demo model runs where there is no GPU: its KV pool is sized by hand, since SGLang would take
# what it leaves of the machine's memory, and long prompts are read in pieces that fit the CPU.
_DEMO_ENGINE_ARGS = {
    "max_total_tokens": 140_000,
    "chunked_prefill_size": 2048,
    "random_seed": 0,
    "dtype": "float32",  # what the checkpoint holds; SGLang would make it float16
}


@dataclass(frozen=True, slots=True)
class Model:
    """The served model. `names[0]` is what answers say; `path` is a folder or a hub id.

    `on_cpu`: it can be served without a GPU.
    """

    path: str
    names: tuple[str, ...]
    context_length: int
    engine_args: Mapping[str, Any] = field(default_factory=dict[str, Any])
    on_cpu: bool = False


def resolve(settings: Settings) -> Model:
    """The model that MODEL names. Raises SettingsError if its folder is missing."""
    demo = settings.model == "demo"
    folder = DEMO_FOLDER if demo else Path(settings.model)
    if demo and not (folder / "config.json").exists():
        raise SettingsError("MODEL='demo': the demo model is not built; run `make setup`")
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

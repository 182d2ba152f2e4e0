"""Speculative decoding (SPECULATIVE): a small draft model proposes tokens, gpt-oss verifies them.

gpt-oss reads its weights once for several tokens instead of once for each, which makes few requests
faster; with many, the draft's own work may cost more than it saves. The output's distribution stays
the same. That is why it is off by default, and nothing here has been measured by this project.

EAGLE-3 (https://arxiv.org/abs/2503.01840) is one layer that reads hidden states of three of
gpt-oss's layers.
"""

from dataclasses import dataclass
from typing import Any

from worker.model.fit import GPT_OSS_120B, ModelSize
from worker.settings import Settings, SettingsError


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft model on the Hugging Face Hub.

    `weights`: their bytes on the GPU, which SGLang charges to `mem_fraction_static`.
    `layers`: its own, for which SGLang's full pool grows, as if they had heads like gpt-oss's
    (HybridSWAPoolConfigurator). `steps`: how many tokens it proposes, one after the other.
    """

    model: str
    weights: int
    layers: int
    steps: int

    @property
    def arguments(self) -> dict[str, Any]:
        """SGLang's arguments: a chain of proposals (topk 1), and the token that follows them."""
        return {
            "speculative_algorithm": "EAGLE3",
            "speculative_draft_model_path": self.model,
            "speculative_num_steps": self.steps,
            "speculative_eagle_topk": 1,
            "speculative_num_draft_tokens": self.steps + 1,
        }


EAGLE3_120B = Draft("lmsys/EAGLE3-gpt-oss-120b-bf16", 1_700_000_000, layers=1, steps=3)
"""SGLang's own documentation names this draft; 1.7 GB is what those who download it report."""


def draft_for(settings: Settings, size: ModelSize | None) -> Draft | None:
    """The draft that SPECULATIVE asks for. Raises SettingsError if the model has none."""
    if settings.speculative == "off":
        return None
    if size is not GPT_OSS_120B:
        raise SettingsError(
            f"SPECULATIVE={settings.speculative} has a draft model for {GPT_OSS_120B.name} alone; "
            "for another model, set SGLang's speculative_* arguments in ENGINE_ARGS"
        )
    return EAGLE3_120B

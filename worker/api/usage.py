"""How many tokens a request took: `usage`, as OpenAI counts.

Rule: the prompt counts once however many choices were made of it; the details are always there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.generation import Step


@dataclass(slots=True)
class ChoiceUsage:
    """The tokens of one choice; `reasoning` are those of its completion that were analysis."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0

    def count(self, step: Step) -> None:
        if step.completion_tokens:
            self.prompt = step.prompt_tokens
            self.cached = step.cached_tokens
            self.completion = step.completion_tokens


def usage_of(choices: Iterable[ChoiceUsage]) -> dict[str, Any]:
    """OpenAI's `usage` object over all choices of one prompt."""
    each = list(choices)
    prompt = max(c.prompt for c in each)
    completion = sum(c.completion for c in each)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": each[0].cached},
        "completion_tokens_details": {"reasoning_tokens": sum(c.reasoning for c in each)},
    }


def sum_of(usages: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One `usage` object for several."""
    total: dict[str, Any] = {}
    for usage in usages:
        for key, value in usage.items():
            if isinstance(value, Mapping):
                total[key] = sum_of((total.get(key, {}), value))
            else:
                total[key] = total.get(key, 0) + value
    return total

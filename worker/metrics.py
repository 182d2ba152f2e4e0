"""The figures of one job: when its first token came, how many tokens it took, how fast.

Rule: times are measured on the monotonic clock, in milliseconds where the name says so.
"""

import time
from collections.abc import Mapping
from typing import Any


class JobMetrics:
    """Filled while a job runs; `to_object` at any time gives what is known so far."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._first_step: float | None = None
        self._last_step: float | None = None
        self._usage: Mapping[str, Any] = {}
        self._deliveries: list[float] = []

    def note_step(self) -> None:
        """Tokens have come from the engine."""
        self._last_step = time.monotonic()
        if self._first_step is None:
            self._first_step = self._last_step

    def note_delivery(self, seconds: float) -> None:
        """One delivery has arrived, after `seconds`."""
        self._deliveries.append(seconds)

    def note_usage(self, usage: Mapping[str, Any]) -> None:
        """The answer is made; `usage` is OpenAI's object."""
        self._usage = usage

    def to_object(self) -> dict[str, Any]:
        figures: dict[str, Any] = {"total_ms": _ms(time.monotonic() - self._started)}
        if self._first_step is not None and self._last_step is not None:
            figures["ttft_ms"] = _ms(self._first_step - self._started)
            figures["decode_ms"] = _ms(self._last_step - self._first_step)
        if self._usage:
            completion = self._usage["completion_tokens"]
            figures["prompt_tokens"] = self._usage["prompt_tokens"]
            figures["cached_tokens"] = self._usage["prompt_tokens_details"]["cached_tokens"]
            figures["completion_tokens"] = completion
            if decode := figures.get("decode_ms"):
                figures["tokens_per_s"] = round((completion - 1) / decode * 1000, 1)
        if self._deliveries:
            figures["posts"] = len(self._deliveries)
            figures["post_ms"] = _ms(sum(self._deliveries) / len(self._deliveries))
        return figures


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)

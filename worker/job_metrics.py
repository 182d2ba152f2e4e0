"""The figures of one job: when its first token came, how many tokens it took, how fast.

Rule: times are measured on the monotonic clock, in milliseconds where the name says so.
"""

import time
from collections.abc import Mapping
from typing import Any

from worker.turn import Usage


class JobMetrics:
    """Filled while a job runs; `to_object` at any time gives what is known so far."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._first_step: float | None = None
        self._last_step: float | None = None
        self.usage: Usage | None = None
        self.answer: tuple[str, int] | None = None
        """A queue job's route and the status of its answer, as HTTP's; None if it was stopped."""
        self.recoveries: Mapping[str, int] = {}
        self.gaps: list[float] = []
        self.deliveries: list[float] = []

    @property
    def seconds(self) -> float:
        """Since the job came."""
        return time.monotonic() - self._started

    @property
    def first_token_seconds(self) -> float | None:
        """From the job's coming to its first token, if that has come."""
        return None if self._first_step is None else self._first_step - self._started

    def note_step(self) -> None:
        """Tokens have come from the engine."""
        now = time.monotonic()
        if self._last_step is None:
            self._first_step = now
        else:
            self.gaps.append(now - self._last_step)
        self._last_step = now

    def note_delivery(self, seconds: float) -> None:
        """One delivery has arrived, after `seconds`."""
        self.deliveries.append(seconds)

    def note_answer(self, route: str, status: int) -> None:
        """A queue job was answered; `route` is one of few."""
        self.answer = route, status

    def note_usage(self, usage: Usage) -> None:
        """The answer is made, of so many tokens."""
        self.usage = usage

    def note_recoveries(self, recoveries: Mapping[str, int]) -> None:
        """What the parser had to mend, by kind."""
        self.recoveries = recoveries

    def to_object(self) -> dict[str, Any]:
        figures: dict[str, Any] = {"total_ms": _ms(self.seconds)}
        if self._first_step is not None and self._last_step is not None:
            figures["ttft_ms"] = _ms(self._first_step - self._started)
            figures["decode_ms"] = _ms(self._last_step - self._first_step)
        if self.usage:
            figures["prompt_tokens"] = self.usage.prompt
            figures["cached_tokens"] = self.usage.cached
            figures["completion_tokens"] = self.usage.completion
            if decode := figures.get("decode_ms"):
                figures["tokens_per_s"] = round((self.usage.completion - 1) / decode * 1000, 1)
        if self.deliveries:
            figures["posts"] = len(self.deliveries)
            figures["post_ms"] = _ms(sum(self.deliveries) / len(self.deliveries))
        return figures


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)

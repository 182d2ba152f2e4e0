"""Timings and token counts of one job: time to first token, usage, decoding speed.

Times are measured with the monotonic clock, in seconds unless the name ends in `_ms`.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any

from worker.turn import Ending, Usage

GAP_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""In seconds. A gap belongs to the first bound that it does not exceed."""


class Gaps:
    """The times between generation steps, counted by duration, so that a long answer takes no more
    room than a short one, and ends as fast.

    `counts`: one for each of GAP_BOUNDS, and one for longer gaps; `seconds`: all gaps together.
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(GAP_BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(GAP_BOUNDS, seconds)] += 1
        self.seconds += seconds

    def add_all(self, gaps: "Gaps") -> None:
        self.counts = [a + b for a, b in zip(self.counts, gaps.counts, strict=True)]
        self.seconds += gaps.seconds


class JobMetrics:
    """Filled in while a job runs. `to_object` can be called at any time."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._first_step: float | None = None
        self._last_step: float | None = None
        self.usage: Usage | None = None
        self.answered: tuple[str, int] | None = None
        """A queue job's route label and HTTP-style status; None if it was stopped, or was delivered
        again after it had ended."""
        self._route = ""
        self.finish_reasons: tuple[str, ...] = ()
        """One for each choice that ended, in OpenAI's words."""
        self.recoveries: Mapping[str, int] = {}
        self.reasoning: Mapping[str, int] = {}
        self.boot: Mapping[str, float] = {}
        self.gaps = Gaps()
        self.deliveries: list[float] = []

    @property
    def seconds(self) -> float:
        """Since the job was received."""
        return time.monotonic() - self._started

    @property
    def first_token_seconds(self) -> float | None:
        """Time to first token, or None if there is no token yet."""
        return None if self._first_step is None else self._first_step - self._started

    def note_step(self) -> None:
        """Records that the engine has produced tokens."""
        now = time.monotonic()
        if self._last_step is None:
            self._first_step = now
        else:
            self.gaps.add(now - self._last_step)
        self._last_step = now

    def note_delivery(self, seconds: float) -> None:
        """Records a successful delivery that took `seconds`."""
        self.deliveries.append(seconds)

    def note_route(self, route: str) -> None:
        """Records a queue job's route, whose label must have low cardinality."""
        self._route = route

    def note_answer(self, status: int) -> None:
        """Records a queue job's outcome."""
        self.answered = self._route, status

    def note_usage(self, usage: Usage) -> None:
        """Records the answer's token usage."""
        self.usage = usage

    def note_endings(self, endings: Iterable[Ending]) -> None:
        """Records why each choice ended."""
        self.finish_reasons = tuple(
            "tool_calls" if ending.reason == "calls" else ending.reason for ending in endings
        )

    def note_recoveries(self, recoveries: Mapping[str, int]) -> None:
        """Records how often the parser had to recover, by kind."""
        self.recoveries = recoveries

    def note_reasoning(self, sources: Mapping[str, int]) -> None:
        """Records where the reasoning of the history's turns came from."""
        self.reasoning = sources

    def note_boot(self, phases: Mapping[str, float]) -> None:
        """Records the seconds of each phase of the boot, on a worker's first job."""
        self.boot = phases

    def to_object(self) -> dict[str, Any]:
        """The figures known so far, as a JSON object."""
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
        if self.boot:
            figures["boot_ms"] = {phase: _ms(seconds) for phase, seconds in self.boot.items()}
        return figures


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)

"""Estimates Retry-After from how fast requests have recently finished.

Without enough measurements, the estimate is one second.
"""

import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager

WINDOW_SECONDS = 60.0
MAX_RETRY_AFTER = 60


class RetryAfterEstimator:
    """Records when requests end. `in_flight` is the number of running requests."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._ends: deque[float] = deque(maxlen=1000)

    @contextmanager
    def running(self) -> Generator[None]:
        """Active while a request runs."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            self._ends.append(time.monotonic())

    def estimate(self) -> int:
        """Whole seconds until half of the running requests should end, at the recent rate."""
        now = time.monotonic()
        recent = [end for end in self._ends if now - end < WINDOW_SECONDS]
        if len(recent) < 2 or not self.in_flight:
            return 1
        rate = len(recent) / max(now - recent[0], 0.001)
        return max(1, min(MAX_RETRY_AFTER, round(self.in_flight / 2 / rate)))

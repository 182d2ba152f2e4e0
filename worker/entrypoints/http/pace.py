"""How fast requests end, and so how long one that was refused should wait.

Rule: measured, not guessed; without a measurement, a second.
"""

import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager

WINDOW_SECONDS = 60.0
LONGEST_WAIT = 60


class Pace:
    """Notes when requests end; `open` are those that have not."""

    def __init__(self) -> None:
        self.open = 0
        self._ends: deque[float] = deque(maxlen=1000)

    @contextmanager
    def running(self) -> Generator[None]:
        """While a request runs."""
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1
            self._ends.append(time.monotonic())

    def retry_after(self) -> int:
        """Whole seconds until half of the open requests have ended, at the last minute's rate."""
        now = time.monotonic()
        recent = [end for end in self._ends if now - end < WINDOW_SECONDS]
        if len(recent) < 2 or not self.open:
            return 1
        rate = len(recent) / max(now - recent[0], 0.001)
        return max(1, min(LONGEST_WAIT, round(self.open / 2 / rate)))

"""Results of the jobs that ended lately, for those that RunPod delivers once more.

Only outputs are kept. A job that failed may be tried again under its id, and then runs anew.
Source: https://docs.runpod.io/serverless/endpoints/send-requests (retry).
"""

import time
from collections.abc import Callable, Sequence

from worker.entrypoints.job import Output

KEPT_SECONDS = 60.0
"""A job that comes again later than that runs again."""


class Results:
    """What was answered in the last `KEPT_SECONDS`, by job id."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, Sequence[Output]]] = {}  # since when, the oldest first

    def keep(self, job_id: str, output: Sequence[Output]) -> None:
        """Keeps what a job was answered."""
        self._drop_old()
        self._kept.setdefault(job_id, (self._clock(), output))

    def of(self, job_id: str) -> Sequence[Output] | None:
        """What this job was answered already."""
        self._drop_old()
        kept = self._kept.get(job_id)
        return kept and kept[1]

    def _drop_old(self) -> None:
        limit = self._clock() - KEPT_SECONDS
        while self._kept:
            oldest = next(iter(self._kept))
            if self._kept[oldest][0] >= limit:
                break
            del self._kept[oldest]

"""Outputs of recently completed jobs, in case RunPod delivers a job again.

Failures are not kept: a failed job may be retried under the same ID, and is then run again.
Source: https://docs.runpod.io/serverless/endpoints/send-requests (retry).
"""

import time
from collections.abc import Callable, Sequence

from worker.entrypoints.job import Output

KEPT_SECONDS = 60.0
"""A job delivered again after this time is run again."""


class FinishedJobs:
    """Outputs of the last `KEPT_SECONDS`, by job ID."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By job ID: the time of completion and the output, oldest first.
        self._kept: dict[str, tuple[float, Sequence[Output]]] = {}

    def keep(self, job_id: str, output: Sequence[Output]) -> None:
        """Stores a completed job's output."""
        self._drop_old()
        self._kept.setdefault(job_id, (self._clock(), output))

    def of(self, job_id: str) -> Sequence[Output] | None:
        """The output of a recently completed job, or None."""
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

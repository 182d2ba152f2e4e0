"""The queue: who gets a job next, in which order, and, under a fault, who gets it twice.

Rules: pure. A job waits here if and only if its state says so. A job that is delivered twice is
delivered to another poll than the first time.
"""

from collections import deque
from collections.abc import Iterator

from emulator.job import Job

QUEUE = "queue"
"""The topic that is rung when there may be a job to take."""


class JobQueue:
    """Jobs in the order in which they are handed out."""

    def __init__(self) -> None:
        self._waiting: deque[Job] = deque()
        self._again: deque[Job] = deque()

    def __iter__(self) -> Iterator[Job]:
        return iter(self._waiting)

    def __len__(self) -> int:
        """How many deliveries are due."""
        return len(self._waiting) + len(self._again)

    def append(self, job: Job) -> None:
        self._waiting.append(job)

    def put_back(self, job: Job) -> None:
        """A job that was handed out already goes first."""
        self._waiting.appendleft(job)

    def discard(self, job: Job) -> None:
        if job in self._waiting:
            self._waiting.remove(job)

    def deliver_again(self, jobs: list[Job]) -> None:
        self._again.extend(jobs)

    def take(self, most: int) -> tuple[list[Job], list[Job]]:
        """Up to `most` jobs, in two lists: those for the first time, and those for the second."""
        again = [self._again.popleft() for _ in range(min(most, len(self._again)))]
        room = min(most - len(again), len(self._waiting))
        return [self._waiting.popleft() for _ in range(room)], again

"""The job queue: which job is delivered next, and which twice (a fault).

Rules: no I/O. A job is in the queue if and only if its state is IN_QUEUE. A job that is delivered
twice is delivered to two different polls.
"""

from collections import deque
from collections.abc import Iterator

from emulator.job import Job

QUEUE_TOPIC = "queue"
"""The topic that is notified when there may be a job to take."""


class JobQueue:
    """Jobs in the order in which they are delivered."""

    def __init__(self) -> None:
        self._waiting: deque[Job] = deque()
        self._again: deque[Job] = deque()

    def __iter__(self) -> Iterator[Job]:
        return iter(self._waiting)

    def __len__(self) -> int:
        """The number of deliveries that are due, duplicates included."""
        return len(self._waiting) + len(self._again)

    def append(self, job: Job) -> None:
        self._waiting.append(job)

    def put_back(self, job: Job) -> None:
        """Requeues a job that was delivered before, at the front."""
        self._waiting.appendleft(job)

    def discard(self, job: Job) -> None:
        if job in self._waiting:
            self._waiting.remove(job)

    def deliver_again(self, jobs: list[Job]) -> None:
        self._again.extend(jobs)

    def take(self, limit: int) -> tuple[list[Job], list[Job]]:
        """Removes up to `limit` jobs; returns the first deliveries and the duplicates."""
        again = [self._again.popleft() for _ in range(min(limit, len(self._again)))]
        room = min(limit - len(again), len(self._waiting))
        return [self._waiting.popleft() for _ in range(room)], again

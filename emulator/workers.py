"""An endpoint's workers: who can be given jobs, who is lost, what each was told.

Rules: pure. A worker is known from its first request on. Losing one is its own affair only so far:
what becomes of its jobs is for `on_lost` to say.
"""

from collections.abc import Callable, Iterator

from emulator.clock import Clock
from emulator.queue import QUEUE
from emulator.worker import Worker


def stop_topic(worker_id: str) -> str:
    """The topic that is rung when there may be a job that the worker shall stop."""
    return f"stop {worker_id}"


class Workers:
    """Every worker that was ever heard of, by id."""

    def __init__(
        self, clock: Clock, ring: Callable[[str], None], on_lost: Callable[[Worker, str], None]
    ) -> None:
        self._clock = clock
        self._ring = ring
        self._on_lost = on_lost
        self._workers: dict[str, Worker] = {}

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._workers.values())

    def get(self, worker_id: str) -> Worker:
        """The worker of that id, known from now on."""
        if worker_id not in self._workers:
            self._workers[worker_id] = Worker(worker_id, self._clock())
        return self._workers[worker_id]

    @property
    def able(self) -> int:
        """How many can be given jobs."""
        return sum(worker.state(0) == "idle" for worker in self)

    def ping(self, worker_id: str, jobs: tuple[str, ...], *, unhealthy: bool) -> None:
        worker = self.get(worker_id)
        worker.last_ping, worker.reported = self._clock(), jobs
        worker.pings += 1
        if unhealthy:
            self._on_lost(worker, "it says that it is unhealthy")
        elif worker.unhealthy:
            worker.unhealthy = None
            self._ring(QUEUE)

    def exited(self, worker_id: str, exit_code: int) -> None:
        """A worker's process has ended."""
        worker = self.get(worker_id)
        worker.gone, worker.exit_code = True, exit_code
        self._on_lost(worker, f"it exited with {exit_code}")

    def told_to_stop(self, worker_id: str) -> None:
        """A worker was sent SIGTERM."""
        self.get(worker_id).told_to_stop = True

    def stop_job(self, worker_id: str, job_id: str) -> None:
        """A worker shall stop a job: it hears of it with its next poll."""
        self.get(worker_id).to_stop.append(job_id)
        self._ring(stop_topic(worker_id))

    def stops_for(self, worker_id: str) -> list[str]:
        """The jobs that a worker shall stop, told once."""
        worker = self.get(worker_id)
        stops, worker.to_stop = worker.to_stop, []
        return stops

    def tick(self, ping_limit: float) -> None:
        """Workers whose pings stopped that many seconds ago are lost."""
        at = self._clock().monotonic
        for worker in self:
            pinged = worker.last_ping
            if pinged and not worker.unhealthy and at - pinged.monotonic > ping_limit:
                self._on_lost(worker, "its pings stopped")

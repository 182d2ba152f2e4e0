"""An endpoint's workers: which can take jobs, which are lost, which jobs each is to stop.

Rules: no I/O. A worker is known from its first request on. `on_lost` decides what happens to the
jobs of a lost worker.
"""

from collections.abc import Callable, Iterator

from emulator.clock import Clock
from emulator.queue import QUEUE_TOPIC
from emulator.worker import Worker


def stop_topic(worker_id: str) -> str:
    """The topic that is notified when there may be a job that the worker is to stop."""
    return f"stop {worker_id}"


class Workers:
    """All workers seen so far, by id."""

    def __init__(
        self, clock: Clock, notify: Callable[[str], None], on_lost: Callable[[Worker, str], None]
    ) -> None:
        self._clock = clock
        self._notify = notify
        self._on_lost = on_lost
        self._workers: dict[str, Worker] = {}

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._workers.values())

    def get(self, worker_id: str) -> Worker:
        """The worker with that id, created if it is new."""
        if worker_id not in self._workers:
            self._workers[worker_id] = Worker(worker_id, self._clock())
        return self._workers[worker_id]

    @property
    def available(self) -> int:
        """How many can take jobs."""
        return sum(worker.state(0) == "idle" for worker in self)

    def ping(self, worker_id: str, jobs: tuple[str, ...], *, unhealthy: bool) -> None:
        worker = self.get(worker_id)
        worker.last_ping, worker.reported = self._clock(), jobs
        worker.pings += 1
        if unhealthy:
            self._on_lost(worker, "it reported itself unhealthy")
        elif worker.unhealthy:
            worker.unhealthy = None
            self._notify(QUEUE_TOPIC)

    def mark_exited(self, worker_id: str, exit_code: int) -> None:
        """Records that a worker's process has exited: the worker is lost."""
        worker = self.get(worker_id)
        worker.exited, worker.exit_code = True, exit_code
        self._on_lost(worker, f"it exited with {exit_code}")

    def mark_stopping(self, worker_id: str) -> None:
        """Records that a worker was sent SIGTERM."""
        self.get(worker_id).stopping = True

    def stop_job(self, worker_id: str, job_id: str) -> None:
        """Tells a worker, with its next poll of the stop channel, to stop a job."""
        self.get(worker_id).jobs_to_stop.append(job_id)
        self._notify(stop_topic(worker_id))

    def take_jobs_to_stop(self, worker_id: str) -> list[str]:
        """The jobs that a worker is to stop, each returned once."""
        worker = self.get(worker_id)
        jobs, worker.jobs_to_stop = worker.jobs_to_stop, []
        return jobs

    def tick(self, ping_limit: float) -> None:
        """Reports workers as lost whose last ping is more than `ping_limit` seconds ago."""
        at = self._clock().monotonic
        for worker in self:
            pinged = worker.last_ping
            if pinged and not worker.unhealthy and at - pinged.monotonic > ping_limit:
                self._on_lost(worker, "its pings stopped")

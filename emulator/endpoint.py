"""One endpoint: its jobs, its queue and its workers, with the platform's rules.

Rules: no I/O; the clock is injected. Every change is notified by topic: a job's id, `QUEUE_TOPIC`,
or `stop_topic` of a worker. `tick` must be called periodically: it enforces the timeouts and
detects lost workers.
Source: https://docs.runpod.io/serverless/endpoints/send-requests
"""

import itertools
import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from emulator.clock import Clock, now
from emulator.faults import Faults
from emulator.job import Attempt, Chunk, Job, Json, Kind, Policy, Refusal, State
from emulator.queue import QUEUE_TOPIC, JobQueue
from emulator.worker import Worker
from emulator.workers import Workers

MAX_DELIVERIES = 3
MAX_ENDED_JOBS = 4000
"""How many ended jobs the admin API still shows. Clients can read them only for `RETENTION_S`."""
RETENTION_S: dict[Kind, float] = {"run": 30 * 60, "runsync": 60, "openai": 60}


def _notify_nobody(_topic: str) -> None:
    """The default of `Endpoint.notify`."""


def _ignore_end(_job: Job) -> None:
    """The default of `Endpoint.on_end`."""


@dataclass
class Endpoint:
    """The state of one endpoint. A worker is lost after `ping_limit` seconds without a ping."""

    name: str = "demo"
    clock: Clock = now
    notify: Callable[[str], None] = _notify_nobody
    on_end: Callable[[Job], None] = _ignore_end
    ping_limit: float = 30
    faults: Faults = field(default_factory=Faults)
    jobs: dict[str, Job] = field(default_factory=dict[str, Job])
    changes: int = 0
    """Number of changes to jobs so far."""

    def __post_init__(self) -> None:
        self.workers = Workers(self.clock, self.notify, self.mark_lost)
        self._queue = JobQueue()
        self._numbers = itertools.count(1)

    # Called for clients

    def submit(
        self, input_: Json, kind: Kind, policy: Policy | None = None, webhook: str | None = None
    ) -> Job:
        """Adds a new job to the end of the queue."""
        number = next(self._numbers)
        job_id = f"{uuid.uuid4()}-e1"
        job = Job(job_id, number, kind, input_, self.clock(), policy or Policy(), webhook)
        job.note("queued", job.queued)
        self.jobs[job.id] = job
        self._queue.append(job)
        self._changed(job)
        self.notify(QUEUE_TOPIC)
        return job

    def find(self, job_id: str) -> Job | None:
        """The job, unless it is unknown or its retention period is over."""
        job = self.jobs.get(job_id)
        if job and job.ended:
            age = self.clock().monotonic - job.ended.monotonic
            return None if age > RETENTION_S[job.kind] else job
        return job

    def cancel(self, job: Job) -> None:
        if not job.state.ended:
            self._end(job, State.CANCELLED)

    def retry(self, job: Job) -> bool:
        """Requeues a failed or timed-out job under its id. Returns False in any other state."""
        if job.state not in (State.FAILED, State.TIMED_OUT):
            return False
        job.queued = self.clock()
        self._requeue(job, "requested")
        return True

    def purge(self) -> int:
        """Cancels all queued jobs. Returns their number."""
        waiting = list(self._queue)
        for job in waiting:
            self._end(job, State.CANCELLED)
        return len(waiting)

    # Called for workers

    def take(self, worker_id: str, limit: int) -> list[Job]:
        """Delivers up to `limit` jobs to a worker, but no more than its share of the queue."""
        worker = self.workers.get(worker_id)
        if worker.unhealthy or worker.exited or worker.stopping != self.faults.hold_until_stop:
            return []
        share = math.ceil(len(self._queue) / max(1, self.workers.available))
        first, again = self._queue.take(min(limit, share))
        for job in (*first, *again):
            job.take(worker_id, self.clock(), duplicate=job in again)
            self._changed(job)
        self._queue.deliver_again([j for j in first if self.faults.duplicates(str(j.number))])
        return [*first, *again]

    def receive(self, job: Job, attempt: Attempt, chunk: Chunk) -> None:
        """Records a chunk of a job's stream."""
        attempt.chunks.append(chunk)
        if len(attempt.chunks) == 1:
            job.note("first chunk", chunk.at, attempt.worker)
        self._changed(job)

    def refuse(self, job: Job, attempt: Attempt, refusal: Refusal) -> None:
        """Records a refused POST."""
        attempt.refused.append(refusal)
        job.note("refused", refusal.at, f"{refusal.route}: {refusal.status or 'dropped'}")
        self._changed(job)

    def repeat(self, job: Job, attempt: Attempt, key: str) -> None:
        """Records a POST that repeats an accepted one."""
        job.note("repeated", self.clock(), f"{attempt.worker}: {key}")
        self._changed(job)

    def progress(self, job: Job, attempt: Attempt, output: Json) -> None:
        """A worker reports a job's progress."""
        if job.runs_in(attempt):
            job.output = output
            job.note("progress", self.clock())
            self._changed(job)

    def finish(self, job: Job, attempt: Attempt, output: Json, error: str | None) -> None:
        """A worker reports a job's result."""
        if not job.runs_in(attempt):
            job.note("ignored result", self.clock(), attempt.worker)
            self._changed(job)
        elif error is not None:
            self._end(job, State.FAILED, error=error)
        else:
            self._end(job, State.COMPLETED, output=output)

    # Done by the platform itself

    def mark_lost(self, worker: Worker, why: str) -> None:
        """Marks a worker unhealthy and requeues its jobs; fails those delivered too often."""
        worker.unhealthy = why
        for job in self.running(worker.id):
            if job.deliveries < MAX_DELIVERIES:
                self._requeue(job, f"{worker.id}: {why}")
            else:
                self._end(job, State.FAILED, error=f"job lost with its worker: {why}")

    def set_faults(self, faults: Faults) -> None:
        self.faults = faults
        self.notify(QUEUE_TOPIC)

    def tick(self) -> None:
        """Enforces timeouts, detects lost workers and drops old jobs."""
        at = self.clock().monotonic
        for job in [job for job in self.jobs.values() if not job.state.ended]:
            if at - job.queued.monotonic > job.policy.ttl:
                self._end(job, State.TIMED_OUT, error="job exceeded its ttl")
            elif job.owner and at - job.owner.taken.monotonic > job.policy.execution_timeout:
                self._end(job, State.TIMED_OUT, error="job exceeded its execution timeout")
        self.workers.tick(self.ping_limit)
        self.forget(MAX_ENDED_JOBS)

    def running(self, worker_id: str) -> list[Job]:
        """The jobs in progress that a worker owns."""
        return [
            job
            for job in self.jobs.values()
            if job.state is State.IN_PROGRESS and job.owner and job.owner.worker == worker_id
        ]

    def _end(
        self, job: Job, state: State, *, output: Json = None, error: str | None = None
    ) -> None:
        self._queue.discard(job)
        if job.state is State.IN_PROGRESS and state in (State.CANCELLED, State.TIMED_OUT):
            for worker_id in {attempt.worker for attempt in job.attempts}:
                self.workers.stop_job(worker_id, job.id)
        job.end(state, self.clock(), output, error)
        self._changed(job)
        self.on_end(job)

    def _requeue(self, job: Job, why: str) -> None:
        job.requeue(self.clock(), why)
        self._queue.put_back(job)
        self._changed(job)
        self.notify(QUEUE_TOPIC)

    def _changed(self, job: Job) -> None:
        self.changes += 1
        job.change = self.changes
        self.notify(job.id)

    def forget(self, keep: int) -> None:
        """Drops the records of all ended jobs except the last `keep`."""
        ended = [job.id for job in self.jobs.values() if job.state.ended]
        for job_id in ended[: max(0, len(ended) - keep)]:
            del self.jobs[job_id]

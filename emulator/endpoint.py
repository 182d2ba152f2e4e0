"""One endpoint: its jobs, its queue, and the platform's rules between them and the workers.

Rules: pure, no I/O; the clock is given. Whatever changes for someone who waits is rung by topic:
a job's id, `QUEUE`, or `stop_topic` of a worker. `tick` must be called now and then: deadlines
and lost workers are noticed there.
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
from emulator.queue import QUEUE, JobQueue
from emulator.worker import Worker
from emulator.workers import Workers

MAX_DELIVERIES = 3
KEPT_JOBS = 4000
"""Ended jobs that the emulator's own API still shows; their clients lose sight of them earlier."""
RETENTION_S: dict[Kind, float] = {"run": 30 * 60, "runsync": 60, "openai": 60}


def _silent(_topic: str) -> None:
    """Nobody waits."""


def _untold(_job: Job) -> None:
    """Nobody wants to know."""


@dataclass
class Endpoint:
    """The state of one endpoint. `ping_limit`: seconds without a ping that make a worker lost."""

    name: str = "demo"
    clock: Clock = now
    ring: Callable[[str], None] = _silent
    on_end: Callable[[Job], None] = _untold
    ping_limit: float = 30
    faults: Faults = field(default_factory=Faults)
    jobs: dict[str, Job] = field(default_factory=dict[str, Job])
    changes: int = 0
    """How many changes of jobs there were."""

    def __post_init__(self) -> None:
        self.workers = Workers(self.clock, self.ring, self.lose)
        self._queue = JobQueue()
        self._numbers = itertools.count(1)

    # What clients do

    def submit(
        self, input_: Json, kind: Kind, policy: Policy | None = None, webhook: str | None = None
    ) -> Job:
        """A new job, at the end of the queue."""
        number = next(self._numbers)
        job_id = f"{uuid.uuid4()}-e1"
        job = Job(job_id, number, kind, input_, self.clock(), policy or Policy(), webhook)
        job.note("queued", job.queued)
        self.jobs[job.id] = job
        self._queue.append(job)
        self._changed(job)
        self.ring(QUEUE)
        return job

    def find(self, job_id: str) -> Job | None:
        """A job that its client may still ask for."""
        job = self.jobs.get(job_id)
        if job and job.ended:
            age = self.clock().monotonic - job.ended.monotonic
            return None if age > RETENTION_S[job.kind] else job
        return job

    def cancel(self, job: Job) -> None:
        if not job.state.ended:
            self._end(job, State.CANCELLED)

    def retry(self, job: Job) -> bool:
        """A failed job once more, under its id; whether that is allowed."""
        if job.state not in (State.FAILED, State.TIMED_OUT):
            return False
        job.queued = self.clock()
        self._requeue(job, "asked for")
        return True

    def purge(self) -> int:
        """Takes the jobs that still wait out of the queue; how many they were."""
        waiting = list(self._queue)
        for job in waiting:
            self._end(job, State.CANCELLED)
        return len(waiting)

    # What workers do

    def take(self, worker_id: str, most: int) -> list[Job]:
        """Up to `most` jobs for a worker that asks, and no more than its share of the queue."""
        worker = self.workers.get(worker_id)
        if worker.unhealthy or worker.gone or worker.told_to_stop != self.faults.hold_until_stop:
            return []
        share = math.ceil(len(self._queue) / max(1, self.workers.able))
        first, again = self._queue.take(min(most, share))
        for job in (*first, *again):
            job.take(worker_id, self.clock(), duplicate=job in again)
            self._changed(job)
        self._queue.deliver_again([j for j in first if self.faults.duplicates(str(j.number))])
        return [*first, *again]

    def receive(self, job: Job, attempt: Attempt, chunk: Chunk) -> None:
        """A chunk of a job's stream has come."""
        attempt.chunks.append(chunk)
        if len(attempt.chunks) == 1:
            job.note("first chunk", chunk.at, attempt.worker)
        self._changed(job)

    def refuse(self, job: Job, attempt: Attempt, refusal: Refusal) -> None:
        """A POST was not let in."""
        attempt.refused.append(refusal)
        job.note("refused", refusal.at, f"{refusal.door}: {refusal.status or 'dropped'}")
        self._changed(job)

    def repeat(self, job: Job, attempt: Attempt, key: str) -> None:
        """A POST came that had counted already."""
        job.note("repeated", self.clock(), f"{attempt.worker}: {key}")
        self._changed(job)

    def progress(self, job: Job, attempt: Attempt, output: Json) -> None:
        """A worker tells how far a job is."""
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

    # What the platform does

    def lose(self, worker: Worker, why: str) -> None:
        """A worker is dead or as good as: its jobs go to others."""
        worker.unhealthy = why
        for job in self.running(worker.id):
            if job.deliveries < MAX_DELIVERIES:
                self._requeue(job, f"{worker.id}: {why}")
            else:
                self._end(job, State.FAILED, error=f"job lost with its worker: {why}")

    def set_faults(self, faults: Faults) -> None:
        self.faults = faults
        self.ring(QUEUE)

    def tick(self) -> None:
        """Whatever is due by the clock."""
        at = self.clock().monotonic
        for job in [job for job in self.jobs.values() if not job.state.ended]:
            if at - job.queued.monotonic > job.policy.ttl:
                self._end(job, State.TIMED_OUT, error="job exceeded its ttl")
            elif job.owner and at - job.owner.taken.monotonic > job.policy.execution_timeout:
                self._end(job, State.TIMED_OUT, error="job exceeded its execution timeout")
        self.workers.tick(self.ping_limit)
        self.forget(KEPT_JOBS)

    def running(self, worker_id: str) -> list[Job]:
        """The jobs that a worker owns."""
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
        self.ring(QUEUE)

    def _changed(self, job: Job) -> None:
        self.changes += 1
        job.change = self.changes
        self.ring(job.id)

    def forget(self, keep: int) -> None:
        """Drops the record of all jobs that have ended but the last `keep`."""
        ended = [job.id for job in self.jobs.values() if job.state.ended]
        for job_id in ended[: max(0, len(ended) - keep)]:
            del self.jobs[job_id]

"""The platform's rules between clients, jobs and workers, on a clock that a test winds."""

from collections.abc import Callable

import pytest

from emulator import views
from emulator.clock import Moment
from emulator.endpoint import MAX_DELIVERIES, MAX_ENDED_JOBS, RETENTION_S, Endpoint
from emulator.faults import Chance, Faults
from emulator.job import Chunk, Job, Kind, Policy, Refusal, State


class Clock:
    """Stands still until it is wound."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> Moment:
        return Moment(self.seconds, self.seconds + 1.7e9)


class World:
    """One endpoint with workers that poll, and all that it rang and ended."""

    def __init__(self, *workers: str) -> None:
        self.clock = Clock()
        self.notified: list[str] = []
        self.ended: list[Job] = []
        self.endpoint = Endpoint(
            clock=self.clock, notify=self.notified.append, on_end=self.ended.append
        )
        for worker in workers:
            self.endpoint.workers.get(worker).polls = 1

    def later(self, seconds: float) -> None:
        self.clock.seconds += seconds
        self.endpoint.tick()

    def submit(self, kind: Kind = "run", **policy: float) -> Job:
        return self.endpoint.submit({"prompt": "hi"}, kind, Policy(**policy))

    def taken(self, worker: str = "a") -> Job:
        """A job that a worker has."""
        job = self.submit()
        assert self.endpoint.take(worker, 1) == [job]
        return job

    def finish(self, job: Job, output: object = None, error: str | None = None) -> None:
        assert job.owner
        self.endpoint.finish(job, job.owner, output, error)

    def kinds(self, job: Job) -> list[str]:
        return [event.kind for event in job.events]


@pytest.fixture
def world() -> World:
    return World("a", "b")


def test_a_job_waits_runs_and_completes(world: World) -> None:
    """The states and the timeline of a job that goes well."""
    job = world.submit()
    assert job.state is State.IN_QUEUE
    world.later(2)
    world.endpoint.take("a", 1)
    assert job.state is State.IN_PROGRESS
    world.later(3)
    world.finish(job, ["done"])
    assert views.status(job) == {
        "id": job.id,
        "status": "COMPLETED",
        "delayTime": 2000,
        "executionTime": 3000,
        "workerId": "a",
        "output": ["done"],
    }
    assert world.kinds(job) == ["queued", "taken", "completed"]
    assert world.ended == [job]


def test_a_reported_error_fails_the_job(world: World) -> None:
    """The error is given instead of an output."""
    job = world.taken()
    world.finish(job, ["part"], "no more words")
    view = views.status(job)
    assert (view["status"], view["error"], "output" in view) == ("FAILED", "no more words", False)


def test_whoever_waits_is_woken_by_what_concerns_him(world: World) -> None:
    """A submission rings the queue, a change the job, a cancel the worker's stop channel."""
    job = world.submit()
    assert world.notified == [job.id, "queue"]
    world.endpoint.take("a", 1)
    world.endpoint.cancel(job)
    assert world.notified[2:] == [job.id, "stop a", job.id]


def test_a_cancel_reaches_the_worker_once(world: World) -> None:
    """What it reports afterwards is ignored."""
    job = world.taken()
    world.endpoint.cancel(job)
    world.finish(job, ["late"])
    assert job.state is State.CANCELLED
    assert world.kinds(job)[-1] == "ignored result"
    assert world.endpoint.workers.take_jobs_to_stop("a") == [job.id]
    assert world.endpoint.workers.take_jobs_to_stop("a") == []


def test_a_job_that_waits_is_cancelled_without_a_worker(world: World) -> None:
    """It leaves the queue."""
    job = world.submit()
    world.endpoint.cancel(job)
    assert world.endpoint.take("a", 1) == []
    assert world.endpoint.workers.take_jobs_to_stop("a") == []


@pytest.mark.parametrize("takes", [True, False])
def test_a_job_outlives_no_ttl(world: World, takes: bool) -> None:
    """Counted from the submission, whether it waits or runs."""
    job = world.submit(ttl=10)
    if takes:
        world.endpoint.take("a", 1)
    world.later(10)
    assert not job.state.ended
    world.later(0.1)
    assert (job.state, job.error) == (State.TIMED_OUT, "job exceeded its ttl")
    assert world.endpoint.workers.take_jobs_to_stop("a") == ([job.id] if takes else [])


def test_the_execution_timeout_counts_from_the_delivery(world: World) -> None:
    """The time in the queue is free."""
    job = world.submit(execution_timeout=5)
    world.later(100)
    world.endpoint.take("a", 1)
    world.later(5)
    assert job.state is State.IN_PROGRESS
    world.later(0.1)
    assert (job.state, job.error) == (State.TIMED_OUT, "job exceeded its execution timeout")
    assert world.endpoint.workers.take_jobs_to_stop("a") == [job.id]


@pytest.mark.parametrize("kind", ["run", "runsync", "openai"])
def test_a_result_is_kept_for_its_time(world: World, kind: Kind) -> None:
    """Half an hour for /run and a minute for /runsync; the emulator's own API sees it longer."""
    job = world.submit(kind)
    world.endpoint.take("a", 1)
    world.finish(job, ["x"])
    world.later(RETENTION_S[kind])
    assert world.endpoint.find(job.id) is job
    world.later(0.1)
    assert world.endpoint.find(job.id) is None
    assert world.endpoint.jobs[job.id] is job


def test_the_oldest_records_are_forgotten(world: World) -> None:
    """Memory is bounded; a job that has not ended is never forgotten."""
    waiting = world.submit()
    for _ in range(MAX_ENDED_JOBS + 10):
        world.endpoint.cancel(world.submit())
    world.endpoint.tick()
    assert len(world.endpoint.jobs) == MAX_ENDED_JOBS + 1
    assert waiting.id in world.endpoint.jobs


def exits(world: World) -> None:
    world.endpoint.workers.mark_exited("a", 1)


def says_that_it_is_unhealthy(world: World) -> None:
    world.endpoint.workers.ping("a", (), unhealthy=True)


def falls_silent(world: World) -> None:
    world.endpoint.workers.ping("a", (), unhealthy=False)
    world.later(world.endpoint.ping_limit + 1)


@pytest.mark.parametrize("ends", [exits, says_that_it_is_unhealthy, falls_silent])
def test_a_lost_workers_job_goes_first_to_another(
    world: World, ends: Callable[[World], None]
) -> None:
    """However it was lost: its jobs go ahead of those that wait, and it gets no more."""
    job = world.taken("a")
    world.submit()
    ends(world)
    assert job.state is State.IN_QUEUE
    assert world.endpoint.take("a", 1) == []
    assert world.endpoint.take("b", 1) == [job]
    assert views.status(job)["retries"] == 1


def test_a_job_is_delivered_three_times_at_most(world: World) -> None:
    """A job that kills its workers does not go round for ever."""
    job = world.submit()
    for number in range(MAX_DELIVERIES):
        worker = f"victim-{number}"
        world.endpoint.workers.get(worker).polls = 1
        world.endpoint.take(worker, 1)
        world.endpoint.workers.mark_exited(worker, -9)
    assert job.state is State.FAILED
    assert job.error == "job lost with its worker: it exited with -9"


def test_a_silent_worker_that_pings_again_gets_jobs(world: World) -> None:
    """But what it still sends of its old job changes nothing."""
    job = world.taken("a")
    first = job.owner
    falls_silent(world)
    assert world.endpoint.take("b", 1) == [job]
    world.endpoint.workers.ping("a", (job.id,), unhealthy=False)
    assert first
    world.endpoint.finish(job, first, ["from a"], None)
    assert job.state is State.IN_PROGRESS
    world.submit()
    assert len(world.endpoint.take("a", 1)) == 1


def test_a_new_delivery_begins_the_stream_anew(world: World) -> None:
    """Chunks of the lost attempt stay on record, and are not the job's any more."""
    job = world.taken("a")
    assert job.owner
    world.endpoint.receive(job, job.owner, Chunk("lost", world.clock(), 10))
    exits(world)
    world.endpoint.take("b", 1)
    assert job.chunks == []
    assert [len(attempt.chunks) for attempt in job.attempts] == [1, 0]


def test_a_retry_keeps_the_id_of_a_failed_job(world: World) -> None:
    """Failed and timed out jobs can be retried; others cannot."""
    job = world.taken()
    assert not world.endpoint.retry(job)
    world.finish(job, error="no")
    assert world.endpoint.retry(job)
    assert (job.state, job.error, job.ended) == (State.IN_QUEUE, None, None)
    assert world.endpoint.take("b", 1) == [job]
    world.finish(job, ["yes"])
    assert not world.endpoint.retry(job)


def test_a_purge_takes_the_waiting_and_leaves_the_running(world: World) -> None:
    """Whoever waited for a purged job learns that it is cancelled."""
    running, waiting = world.taken(), world.submit()
    assert world.endpoint.purge() == 1
    assert (running.state, waiting.state) == (State.IN_PROGRESS, State.CANCELLED)


def test_a_burst_is_shared_among_those_that_take(world: World) -> None:
    """A worker with many free slots gets its share, the last one what is left."""
    for _ in range(5):
        world.submit()
    assert len(world.endpoint.take("a", 10)) == 3
    world.endpoint.workers.get("a").stopping = True
    assert len(world.endpoint.take("b", 10)) == 2


def test_progress_is_the_output_of_a_job_that_runs(world: World) -> None:
    """Until its result replaces it."""
    job = world.taken()
    assert job.owner
    world.endpoint.progress(job, job.owner, "half")
    assert views.status(job)["output"] == "half"
    world.finish(job, ["all"])
    assert views.status(job)["output"] == ["all"]


def test_health_counts_jobs_and_workers(world: World) -> None:
    """By the platform's names."""
    world.taken("a")
    world.submit()
    world.endpoint.workers.get("booting")
    world.endpoint.cancel(world.submit())
    health = views.health(world.endpoint)
    assert (health["jobs"]["inProgress"], health["jobs"]["inQueue"]) == (1, 1)
    workers = {name: count for name, count in health["workers"].items() if count}
    assert workers == {"running": 1, "idle": 1, "ready": 2, "initializing": 1}


def test_a_duplicate_goes_to_another_poll_and_changes_nothing(world: World) -> None:
    """Only the owner's result counts."""
    world.endpoint.set_faults(Faults(duplicate=Chance(next=1)))
    job = world.taken("a")
    assert world.endpoint.take("b", 5) == [job]
    second = job.attempts[1]
    assert (second.worker, second.duplicate, job.deliveries) == ("b", True, 1)
    world.endpoint.finish(job, second, ["twice"], None)
    assert job.state is State.IN_PROGRESS
    world.finish(job, ["once"])
    assert job.output == ["once"]


def test_what_a_second_delivery_brings_after_the_end_is_its_own(world: World) -> None:
    """The stream of a job that has ended grows no more."""
    world.endpoint.set_faults(Faults(duplicate=Chance(next=1)))
    job = world.taken("a")
    assert job.attempt_of("a") is job.owner
    world.finish(job, ["once"])
    assert world.endpoint.take("a", 5) == [job]
    assert job.attempt_of("a") is job.attempts[1]
    assert job.attempts[1] is not job.owner


def test_held_jobs_reach_only_a_worker_that_was_told_to_stop(world: World) -> None:
    """And without the fault, never such a worker."""
    world.submit()
    world.submit()
    world.endpoint.set_faults(Faults(hold_until_stop=True))
    assert world.endpoint.take("a", 1) == []
    world.endpoint.workers.mark_stopping("a")
    assert len(world.endpoint.take("a", 1)) == 1
    world.endpoint.set_faults(Faults())
    assert world.endpoint.take("a", 1) == []
    assert len(world.endpoint.take("b", 1)) == 1


def test_a_refusal_is_on_record_and_no_part_of_the_stream(world: World) -> None:
    """Its route, its status, its size."""
    job = world.taken()
    assert job.owner
    world.endpoint.refuse(job, job.owner, Refusal("stream", None, world.clock(), 5))
    assert job.chunks == []
    assert job.events[-1].detail == "stream: dropped"
    assert views.summary(job)["refused"] == 1

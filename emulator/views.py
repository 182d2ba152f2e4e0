"""The JSON of jobs and workers, for clients, for workers and for the admin API.

Rule: clients get the platform's field names, in milliseconds; the admin API has every timestamp on
both clocks, in seconds.
"""

from collections import Counter

from emulator.clock import Moment
from emulator.endpoint import Endpoint
from emulator.job import Attempt, Chunk, Job, Json, Refusal, State
from emulator.statistics import phases, statistics
from emulator.worker import Worker

Object = dict[str, Json]


def status(job: Job) -> Object:
    """The reply of /status, /run, /runsync and /cancel, and the body of webhooks."""
    view: Object = {"id": job.id, "status": job.state.value}
    if job.owner:
        view["delayTime"] = _ms(job.queued, job.owner.taken)
        view["workerId"] = job.owner.worker
        if job.ended:
            view["executionTime"] = _ms(job.owner.taken, job.ended)
    if job.deliveries > 1:
        view["retries"] = job.deliveries - 1
    if job.error is not None:
        view["error"] = job.error
    elif job.output is not None:
        view["output"] = job.output
    return view


def health(endpoint: Endpoint) -> Object:
    """The numbers of the endpoint's jobs and workers, by state."""
    jobs = Counter(job.state for job in endpoint.jobs.values())
    states = Counter(w.state(len(endpoint.running(w.id))) for w in endpoint.workers)
    return {
        "jobs": {
            "completed": jobs[State.COMPLETED],
            "failed": jobs[State.FAILED] + jobs[State.TIMED_OUT],
            "inProgress": jobs[State.IN_PROGRESS],
            "inQueue": jobs[State.IN_QUEUE],
            "retried": sum(max(0, job.deliveries - 1) for job in endpoint.jobs.values()),
        },
        "workers": {
            "idle": states["idle"],
            "initializing": states["initializing"],
            "ready": states["idle"] + states["running"],
            "running": states["running"],
            "throttled": 0,
            "unhealthy": states["unhealthy"],
        },
    }


def delivery(job: Job) -> Object:
    """A job as it is delivered to a worker."""
    webhook = {} if job.webhook is None else {"webhook": job.webhook}
    return {"id": job.id, "input": job.input, "retries": job.deliveries - 1, **webhook}


def summary(job: Job) -> Object:
    """One row of the job table."""
    return {
        "id": job.id,
        "number": job.number,
        "kind": job.kind,
        "state": job.state.value,
        "worker": job.owner.worker if job.owner else None,
        "deliveries": len(job.attempts),
        "chunks": len(job.chunks),
        "refused": sum(len(attempt.refused) for attempt in job.attempts),
        "queued": moment(job.queued),
        "ended": moment(job.ended) if job.ended else None,
        "error": job.error,
        "phases": phases(job),
        "figures": statistics(job),
    }


def record(job: Job) -> Object:
    """A job with its full history."""
    return {
        **summary(job),
        "input": job.input,
        "output": job.output,
        "attempts": [_attempt(attempt, attempt is job.owner) for attempt in job.attempts],
        "events": [
            {"kind": event.kind, "detail": event.detail, **moment(event.at)} for event in job.events
        ],
    }


def worker(of: Worker, jobs: list[str]) -> Object:
    return {
        "id": of.id,
        "state": of.state(len(jobs)),
        "pid": of.pid,
        "jobs": jobs,
        "pings": of.pings,
        "last_ping": moment(of.last_ping) if of.last_ping else None,
        "reported": of.reported,
        "unhealthy": of.unhealthy,
        "exit_code": of.exit_code,
        "since": moment(of.since),
    }


def moment(at: Moment) -> Object:
    return {"monotonic": at.monotonic, "wall": at.wall}


def _attempt(of: Attempt, owns: bool) -> Object:
    return {
        "worker": of.worker,
        "taken": moment(of.taken),
        "duplicate": of.duplicate,
        "owner": owns,
        "chunks": [_chunk(chunk) for chunk in of.chunks],
        "refused": [_refusal(refusal) for refusal in of.refused],
    }


def _chunk(of: Chunk) -> Object:
    return {"output": of.output, "size": of.size, **moment(of.at)}


def _refusal(of: Refusal) -> Object:
    return {"route": of.route, "status": of.status, "size": of.size, **moment(of.at)}


def _ms(start: Moment, end: Moment) -> int:
    return round((end.monotonic - start.monotonic) * 1000)

"""The worker's side of the platform, as RunPod's SDK 1.12.0 speaks it.

Rules: a POST's receipt is stamped when its body is there, before any fault and any latency. What
a POST brought counts from then on, once for each Idempotency-Key, and its reply comes after the
latency. Unknown of the platform, and chosen here: that it heeds such keys.
Source: runpod/serverless/modules/{rp_job,rp_http,rp_ping}.py of that release.
"""

import asyncio
import json
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emulator import views
from emulator.clock import Moment
from emulator.faults import Door, Fate
from emulator.job import Attempt, Chunk, Job, Json, Refusal
from emulator.plane import Plane, plane_of
from emulator.queue import QUEUE
from emulator.web import HangUp, held, parse_object, reply
from emulator.workers import stop_topic

CHUNK_LIMIT = 1_000_000
"""Bytes of one stream POST."""

_EMPTY = 204


async def take(request: Request) -> Response:
    """A long poll for one job, or for a batch."""
    plane, worker_id = plane_of(request), request.path_params["worker"]
    door = plane.endpoint.faults.take
    worker = plane.endpoint.workers.get(worker_id)
    worker.polls += 1
    refused = _refusal(door, plane.endpoint.faults.fate("take", f"{worker_id}/{worker.polls}"))
    await asyncio.sleep(door.latency_ms / 1000)
    if refused:
        return refused
    most = int(request.query_params.get("batch_size", 1))
    jobs = await held(
        *(request, plane.bells, lambda: plane.endpoint.take(worker_id, most) or None),
        *(QUEUE, plane.poll_seconds),
    )
    if not jobs:
        return Response(status_code=_EMPTY)
    deliveries = [views.delivery(job) for job in jobs]
    return reply(deliveries if "batch_size" in request.query_params else deliveries[0])


async def stop(request: Request) -> Response:
    """A long poll for the jobs that the worker shall stop."""
    plane, worker_id = plane_of(request), request.path_params["worker"]
    jobs = await held(
        *(request, plane.bells, lambda: plane.endpoint.workers.stops_for(worker_id) or None),
        *(stop_topic(worker_id), plane.poll_seconds),
    )
    return reply({"jobsToStop": jobs}) if jobs else Response(status_code=_EMPTY)


async def ping(request: Request) -> Response:
    """A sign of life, with the ids of the jobs that the worker has."""
    endpoint = plane_of(request).endpoint
    if endpoint.faults.miss_pings:
        return HangUp()
    query = request.query_params
    jobs = tuple(job_id for job_id in query.get("job_id", "").split(",") if job_id)
    unhealthy = query.get("status") == "unhealthy"
    endpoint.workers.ping(request.path_params["worker"], jobs, unhealthy=unhealthy)
    return reply({})


async def stream(request: Request) -> Response:
    """One chunk of a job's stream."""
    plane = plane_of(request)
    posted = await _posted(request, plane, "stream")
    if isinstance(posted, Response):
        return posted
    if not posted.repeated:
        chunk = Chunk(posted.body.get("output"), posted.at, posted.size)
        plane.endpoint.receive(posted.job, posted.attempt, chunk)
    return await _acknowledgement(posted, plane.endpoint.faults.stream)


async def done(request: Request) -> Response:
    """A job's result, or how far it is."""
    plane = plane_of(request)
    posted = await _posted(request, plane, "done")
    if isinstance(posted, Response):
        return posted
    if not posted.repeated:
        await _report(plane, posted)
    return await _acknowledgement(posted, plane.endpoint.faults.done)


async def _report(plane: Plane, posted: "_Posted") -> None:
    result = posted.body
    if result.get("status") == "IN_PROGRESS":
        plane.endpoint.progress(posted.job, posted.attempt, result.get("output"))
    else:
        error = result.get("error")
        error = error if error is None or isinstance(error, str) else json.dumps(error)
        plane.endpoint.finish(posted.job, posted.attempt, result.get("output"), error)
    if result.get("stopPod") and plane.pool.terminate(posted.attempt.worker):
        await plane.pool.start()


async def _acknowledgement(posted: "_Posted", door: Door) -> Response:
    await asyncio.sleep(door.latency_ms / 1000)
    return HangUp() if posted.reply_lost else reply({})


@dataclass(frozen=True, slots=True)
class _Posted:
    """A POST that was let in."""

    job: Job
    attempt: Attempt
    body: dict[str, Json]
    size: int
    at: Moment
    repeated: bool
    """Whether it came before, with the same key."""
    reply_lost: bool


async def _posted(request: Request, plane: Plane, door: str) -> _Posted | Response:
    """What a worker sent about a job, or the refusal that a fault or a limit makes of it."""
    body = await request.body()
    at, faults = plane.endpoint.clock(), plane.endpoint.faults
    job = plane.endpoint.jobs.get(request.path_params["job"])
    attempt = job.attempt_of(request.path_params["worker"]) if job else None
    if job is None or attempt is None:
        return reply({"error": "this worker was given no such job"}, 404)
    size = len(body)
    fate = faults.fate(door, f"{job.number}/{attempt.posts}", size)
    attempt.posts += 1
    if door == "stream" and size > CHUNK_LIMIT:
        fate = Fate.TOO_LARGE
    refused = _refusal(faults.door(door), fate)
    if refused is None:
        value, repeated = parse_object(body), _repeated(request, plane, job, attempt)
        return _Posted(job, attempt, value, size, at, repeated, fate is Fate.LOSE_REPLY)
    status = None if fate is Fate.DROP else refused.status_code
    plane.endpoint.refuse(job, attempt, Refusal(door, status, at, size))
    await asyncio.sleep(faults.door(door).latency_ms / 1000)
    return refused


def _repeated(request: Request, plane: Plane, job: Job, attempt: Attempt) -> bool:
    """Whether a POST has counted before. If not, it does from now on."""
    key = request.headers.get("Idempotency-Key")
    if key is None or plane.endpoint.faults.forget_keys:
        return False
    if key in attempt.keys:
        plane.endpoint.repeat(job, attempt, key)
        return True
    attempt.keys.add(key)
    return False


def _refusal(door: Door, fate: Fate) -> Response | None:
    """The reply that a fate means; None where the request goes its way."""
    match fate:
        case Fate.FINE | Fate.LOSE_REPLY:
            return None
        case Fate.DROP:
            return HangUp()
        case Fate.FAIL:
            return reply({"error": "injected fault"}, door.fail_status)
        case Fate.BUSY:
            return reply({"error": "rate limited"}, 429, {"Retry-After": str(door.retry_after_s)})
        case Fate.TOO_LARGE:
            return reply({"error": "payload too large"}, 413)


ROUTES = [
    Route("/job-take/{worker}", take),
    Route("/job-take-batch/{worker}", take),
    Route("/job-stop/{worker}", stop),
    Route("/ping/{worker}", ping),
    Route("/job-stream/{worker}/{job}", stream, methods=["POST"]),
    Route("/job-done/{worker}/{job}", done, methods=["POST"]),
]

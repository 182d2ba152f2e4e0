"""The worker's API, as RunPod's SDK 1.12.0 uses it.

Rules: a POST is timestamped when its body has arrived, before any fault and any latency. It takes
effect at once, once per Idempotency-Key, and its reply is sent after the latency. Not known of the
platform, so chosen here: that it honours such keys.
Source: runpod/serverless/modules/{rp_job,rp_http,rp_ping}.py of that release.
"""

import asyncio
import json
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emulator import views
from emulator.app_state import AppState, app_state
from emulator.clock import Moment
from emulator.faults import Outcome, RouteFaults
from emulator.job import Attempt, Chunk, Job, Json, Refusal
from emulator.queue import QUEUE_TOPIC
from emulator.web import HangUp, long_poll, parse_object, reply
from emulator.workers import stop_topic

CHUNK_LIMIT = 1_000_000
"""Bytes of one stream POST."""

_EMPTY = 204


async def take(request: Request) -> Response:
    """Long poll for one job, or for a batch of them. Raises 400."""
    state, worker_id = app_state(request), request.path_params["worker"]
    limit = _batch_size(request.query_params.get("batch_size", "1"))
    faults = state.endpoint.faults
    worker = state.endpoint.workers.get(worker_id)
    worker.polls += 1
    if refused := _refusal(faults.take, faults.outcome("take", f"{worker_id}/{worker.polls}")):
        await asyncio.sleep(faults.take.latency_ms / 1000)
        return refused
    jobs = await long_poll(
        *(request, state.notifier, lambda: state.endpoint.take(worker_id, limit) or None),
        *(QUEUE_TOPIC, state.poll_seconds),
    )
    await asyncio.sleep(state.endpoint.faults.take.latency_ms / 1000)
    if not jobs:
        return Response(status_code=_EMPTY)
    deliveries = [views.delivery(job) for job in jobs]
    return reply(deliveries if "batch_size" in request.query_params else deliveries[0])


def _batch_size(given: str) -> int:
    try:
        size = int(given)
    except ValueError:
        size = 0
    if size < 1:
        raise HTTPException(400, f"batch_size must be a positive integer, got {given[:40]!r}.")
    return size


async def stop(request: Request) -> Response:
    """Long poll for the jobs that the worker is to stop."""
    state, worker_id = app_state(request), request.path_params["worker"]
    workers = state.endpoint.workers
    jobs = await long_poll(
        *(request, state.notifier, lambda: workers.take_jobs_to_stop(worker_id) or None),
        *(stop_topic(worker_id), state.poll_seconds),
    )
    return reply({"jobsToStop": jobs}) if jobs else Response(status_code=_EMPTY)


async def ping(request: Request) -> Response:
    """Heartbeat, with the ids of the worker's jobs in progress."""
    endpoint = app_state(request).endpoint
    if endpoint.faults.miss_pings:
        return HangUp()
    query = request.query_params
    jobs = tuple(job_id for job_id in query.get("job_id", "").split(",") if job_id)
    unhealthy = query.get("status") == "unhealthy"
    endpoint.workers.ping(request.path_params["worker"], jobs, unhealthy=unhealthy)
    return reply({})


async def stream(request: Request) -> Response:
    """One chunk of a job's stream."""
    state = app_state(request)
    post = await _accept(request, state, "stream")
    if isinstance(post, Response):
        return post
    if not post.repeated:
        chunk = Chunk(post.body.get("output"), post.at, post.size)
        state.endpoint.receive(post.job, post.attempt, chunk)
    return await _acknowledge(post, state.endpoint.faults.stream)


async def done(request: Request) -> Response:
    """A job's result, or its progress."""
    state = app_state(request)
    post = await _accept(request, state, "done")
    if isinstance(post, Response):
        return post
    if not post.repeated:
        await _report(state, post)
    return await _acknowledge(post, state.endpoint.faults.done)


async def _report(state: AppState, post: "_Post") -> None:
    result = post.body
    if result.get("status") == "IN_PROGRESS":
        state.endpoint.progress(post.job, post.attempt, result.get("output"))
    else:
        error = result.get("error")
        error = error if error is None or isinstance(error, str) else json.dumps(error)
        state.endpoint.finish(post.job, post.attempt, result.get("output"), error)
    if result.get("stopPod") and state.pool.terminate(post.attempt.worker):
        await state.pool.start()


async def _acknowledge(post: "_Post", faults: RouteFaults) -> Response:
    await asyncio.sleep(faults.latency_ms / 1000)
    return HangUp() if post.reply_lost else reply({})


@dataclass(frozen=True, slots=True)
class _Post:
    """An accepted POST."""

    job: Job
    attempt: Attempt
    body: dict[str, Json]
    size: int
    at: Moment
    repeated: bool
    """Whether a POST with the same key was accepted before."""
    reply_lost: bool


async def _accept(request: Request, state: AppState, route: str) -> _Post | Response:
    """The accepted POST, or the reply that refuses it because of a fault or a limit."""
    body = await request.body()
    at, faults = state.endpoint.clock(), state.endpoint.faults
    job = state.endpoint.jobs.get(request.path_params["job"])
    attempt = job.attempt_of(request.path_params["worker"]) if job else None
    if job is None or attempt is None:
        return reply({"error": "This job was not delivered to this worker."}, 404)
    size = len(body)
    outcome = faults.outcome(route, f"{job.number}/{attempt.posts}", size)
    attempt.posts += 1
    if route == "stream" and size > CHUNK_LIMIT:
        outcome = Outcome.TOO_LARGE
    refused = _refusal(faults.route(route), outcome)
    if refused is None:
        value, repeated = parse_object(body), _repeated(request, state, job, attempt)
        return _Post(job, attempt, value, size, at, repeated, outcome is Outcome.LOSE_REPLY)
    status = None if outcome is Outcome.DROP else refused.status_code
    state.endpoint.refuse(job, attempt, Refusal(route, status, at, size))
    await asyncio.sleep(faults.route(route).latency_ms / 1000)
    return refused


def _repeated(request: Request, state: AppState, job: Job, attempt: Attempt) -> bool:
    """Whether a POST with the same key was accepted before; if not, remembers the key."""
    key = request.headers.get("Idempotency-Key")
    if key is None or state.endpoint.faults.forget_keys:
        return False
    if key in attempt.keys:
        state.endpoint.repeat(job, attempt, key)
        return True
    attempt.keys.add(key)
    return False


def _refusal(faults: RouteFaults, outcome: Outcome) -> Response | None:
    """The reply that refuses a request; None if the outcome does not refuse it."""
    match outcome:
        case Outcome.OK | Outcome.LOSE_REPLY:
            return None
        case Outcome.DROP:
            return HangUp()
        case Outcome.FAIL:
            return reply({"error": "injected fault"}, faults.fail_status)
        case Outcome.BUSY:
            return reply({"error": "rate limited"}, 429, {"Retry-After": str(faults.retry_after_s)})
        case Outcome.TOO_LARGE:
            return reply({"error": "payload too large"}, 413)


ROUTES = [
    Route("/job-take/{worker}", take),
    Route("/job-take-batch/{worker}", take),
    Route("/job-stop/{worker}", stop),
    Route("/ping/{worker}", ping),
    Route("/job-stream/{worker}/{job}", stream, methods=["POST"]),
    Route("/job-done/{worker}/{job}", done, methods=["POST"]),
]

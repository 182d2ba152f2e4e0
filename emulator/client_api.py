"""The client's API: submit jobs, read their status and stream, cancel and retry them.

Rule: replies have the shapes that `runpod.Endpoint` expects.
Source: https://docs.runpod.io/serverless/endpoints/operation-reference
"""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emulator import views
from emulator.app_state import app_state, find_job
from emulator.job import Job, Json, Kind, Policy
from emulator.web import long_poll, parse_object, read, reply

RUN_LIMIT = 10_000_000
RUNSYNC_LIMIT = 20_000_000
RUNSYNC_WAIT_MS = 90_000
WAIT_MS = (1_000, 300_000)
STREAM_WAIT_S = 5
"""How long /stream waits for new chunks. The SDK's client times out after 10 s."""


async def run(request: Request) -> Response:
    """Submits a job."""
    return reply(views.status(await _submitted(request, "run", RUN_LIMIT)))


async def runsync(request: Request) -> Response:
    """Submits a job and waits until it ends, for at most `wait` milliseconds."""
    least, most = WAIT_MS
    wait_ms = _number(request.query_params.get("wait", RUNSYNC_WAIT_MS), "wait")
    job = await _submitted(request, "runsync", RUNSYNC_LIMIT)
    await _ended(request, job, min(max(wait_ms, least), most) / 1000)
    return reply(views.status(job))


async def status(request: Request) -> Response:
    return reply(views.status(find_job(request)))


async def stream(request: Request) -> Response:
    """The chunks since the last call; waits up to `STREAM_WAIT_S` if there are none yet."""
    job, notifier = find_job(request), app_state(request).notifier

    def new_chunks() -> list[Json] | None:
        chunks, job.streamed = job.chunks[job.streamed :], len(job.chunks)
        return [{"output": chunk.output} for chunk in chunks] or ([] if job.ended else None)

    chunks = await long_poll(request, notifier, new_chunks, job.id, STREAM_WAIT_S)
    return reply({**views.status(job), "stream": chunks or []})


async def cancel(request: Request) -> Response:
    job = find_job(request)
    app_state(request).endpoint.cancel(job)
    return reply(views.status(job))


async def retry(request: Request) -> Response:
    job = find_job(request)
    if not app_state(request).endpoint.retry(job):
        raise HTTPException(
            400, f"Only a FAILED or TIMED_OUT job can be retried; this job is {job.state.value}."
        )
    return reply(views.status(job))


async def purge(request: Request) -> Response:
    removed = app_state(request).endpoint.purge()
    return reply({"removed": removed, "status": "completed"})


async def health(request: Request) -> Response:
    return reply(views.health(app_state(request).endpoint))


async def _submitted(request: Request, kind: Kind, limit: int) -> Job:
    body = parse_object(await read(request, limit))
    if "input" not in body:
        raise HTTPException(400, "The body must have an `input` field.")
    webhook = body.get("webhook")
    if not (webhook is None or isinstance(webhook, str)):
        raise HTTPException(400, "webhook must be a string (a URL).")
    policy = _policy(body.get("policy") or {})
    return app_state(request).endpoint.submit(body["input"], kind, policy, webhook)


def _policy(given: Json) -> Policy:
    """A job's `policy`, given in milliseconds. Raises 400."""
    if not isinstance(given, dict):
        raise HTTPException(400, "policy must be an object.")
    names = {"ttl": "ttl", "executionTimeout": "execution_timeout"}
    seconds = {
        field: _number(given[name], name) / 1000 for name, field in names.items() if name in given
    }
    return Policy(**seconds)


def _number(value: Json, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise HTTPException(400, f"{name} must be a number of milliseconds.") from error


async def _ended(request: Request, job: Job, seconds: float) -> None:
    await long_poll(request, app_state(request).notifier, lambda: job.ended, job.id, seconds)


ROUTES = [
    Route("/run", run, methods=["POST"]),
    Route("/runsync", runsync, methods=["POST"]),
    Route("/status/{job}", status),
    Route("/stream/{job}", stream),
    Route("/cancel/{job}", cancel, methods=["POST"]),
    Route("/retry/{job}", retry, methods=["POST"]),
    Route("/purge-queue", purge, methods=["POST"]),
    Route("/health", health),
]

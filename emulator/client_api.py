"""The client's side of the platform: jobs submitted, asked for, cancelled.

Rule: replies have the shapes that `runpod.Endpoint` reads.
Source: https://docs.runpod.io/serverless/endpoints/operation-reference
"""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emulator import views
from emulator.job import Job, Json, Kind, Policy
from emulator.plane import job_of, plane_of
from emulator.web import held, parse_object, read, reply

RUN_LIMIT = 10_000_000
RUNSYNC_LIMIT = 20_000_000
RUNSYNC_WAIT_MS = 90_000
WAIT_MS = (1_000, 300_000)
STREAM_WAIT_S = 5
"""How long /stream waits for something new. The SDK's client gives up after 10 s."""


async def run(request: Request) -> Response:
    """Submits a job."""
    return reply(views.status(await _submitted(request, "run", RUN_LIMIT)))


async def runsync(request: Request) -> Response:
    """Submits a job and waits for its end, for `wait` milliseconds at most."""
    least, most = WAIT_MS
    wait_ms = _number(request.query_params.get("wait", RUNSYNC_WAIT_MS), "wait")
    job = await _submitted(request, "runsync", RUNSYNC_LIMIT)
    await _ended(request, job, min(max(wait_ms, least), most) / 1000)
    return reply(views.status(job))


async def status(request: Request) -> Response:
    return reply(views.status(job_of(request)))


async def stream(request: Request) -> Response:
    """What the job has streamed since the last time; waits a little if there is nothing."""
    job, bells = job_of(request), plane_of(request).bells

    def news() -> list[Json] | None:
        chunks, job.streamed = job.chunks[job.streamed :], len(job.chunks)
        return [{"output": chunk.output} for chunk in chunks] or ([] if job.ended else None)

    chunks = await held(request, bells, news, job.id, STREAM_WAIT_S)
    return reply({**views.status(job), "stream": chunks or []})


async def cancel(request: Request) -> Response:
    job = job_of(request)
    plane_of(request).endpoint.cancel(job)
    return reply(views.status(job))


async def retry(request: Request) -> Response:
    job = job_of(request)
    if not plane_of(request).endpoint.retry(job):
        raise HTTPException(400, f"a job that is {job.state.value} cannot be retried")
    return reply(views.status(job))


async def purge(request: Request) -> Response:
    removed = plane_of(request).endpoint.purge()
    return reply({"removed": removed, "status": "completed"})


async def health(request: Request) -> Response:
    return reply(views.health(plane_of(request).endpoint))


async def _submitted(request: Request, kind: Kind, limit: int) -> Job:
    body = parse_object(await read(request, limit))
    if "input" not in body:
        raise HTTPException(400, "the body must have an input")
    webhook = body.get("webhook")
    if not (webhook is None or isinstance(webhook, str)):
        raise HTTPException(400, "webhook must be a URL")
    policy = _policy(body.get("policy") or {})
    return plane_of(request).endpoint.submit(body["input"], kind, policy, webhook)


def _policy(given: Json) -> Policy:
    """A job's `policy`, in milliseconds."""
    if not isinstance(given, dict):
        raise HTTPException(400, "policy must be an object")
    names = {"ttl": "ttl", "executionTimeout": "execution_timeout"}
    seconds = {
        field: _number(given[name], name) / 1000 for name, field in names.items() if name in given
    }
    return Policy(**seconds)


def _number(value: Json, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise HTTPException(400, f"{name} must be a number of milliseconds") from error


async def _ended(request: Request, job: Job, seconds: float) -> None:
    await held(request, plane_of(request).bells, lambda: job.ended, job.id, seconds)


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

"""The emulator's own API: what happened to each job, faults, workers, and the console's page.

`GET /jobs`, `GET /jobs/{id}`, `DELETE /jobs` (forgets those that have ended);
`GET`, `PUT`, `DELETE /faults`; `GET`, `POST /workers`, `POST /workers/{id}/terminate` and `/kill`,
`GET /workers/{id}/log`; `GET /events`, a stream of what changed.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from emulator import views
from emulator.endpoint import Endpoint
from emulator.faults import Faults
from emulator.plane import Plane, plane_of
from emulator.web import read, reply

CONSOLE = Path(__file__).parent / "console"
EVENTS_EVERY_S = 0.15
SHOWN_JOBS = 200
BODY_LIMIT = 1_000_000


async def page(_request: Request) -> Response:
    return FileResponse(CONSOLE / "index.html")


async def jobs(request: Request) -> Response:
    """Every job, in the order of submission."""
    known = plane_of(request).endpoint.jobs.values()
    return reply({"jobs": [views.summary(job) for job in known]})


async def job(request: Request) -> Response:
    """All that is known of one job."""
    found = plane_of(request).endpoint.jobs.get(request.path_params["job"])
    if found is None:
        raise HTTPException(404, "job not found")
    return reply(views.record(found))


async def forget(request: Request) -> Response:
    """Forgets the jobs that have ended."""
    plane_of(request).endpoint.forget(keep=0)
    return await jobs(request)


async def faults(request: Request) -> Response:
    """The faults that are on; PUT replaces them all, DELETE takes them off."""
    endpoint = plane_of(request).endpoint
    if request.method == "PUT":
        try:
            endpoint.set_faults(Faults.model_validate_json(await read(request, BODY_LIMIT)))
        except ValidationError as error:
            raise HTTPException(400, str(error)) from error
    elif request.method == "DELETE":
        endpoint.set_faults(Faults())
    return reply(endpoint.faults.to_object())


async def workers(request: Request) -> Response:
    """Every worker; POST starts another."""
    plane = plane_of(request)
    if request.method == "POST":
        await plane.pool.start()
    return reply({"workers": _workers(plane.endpoint)})


async def terminate(request: Request) -> Response:
    """SIGTERM for a worker that the emulator has started."""
    return _signalled(request, plane_of(request).pool.terminate)


async def kill(request: Request) -> Response:
    """SIGKILL for a worker that the emulator has started."""
    return _signalled(request, plane_of(request).pool.kill)


def _signalled(request: Request, send: Callable[[str], bool]) -> Response:
    if not send(request.path_params["worker"]):
        raise HTTPException(404, "the emulator has no such process")
    return reply({"workers": _workers(plane_of(request).endpoint)})


async def log(request: Request) -> Response:
    """The last lines that a worker wrote."""
    return reply({"lines": plane_of(request).pool.log(request.path_params["worker"])})


async def events(request: Request) -> Response:
    """What changed, as server-sent events: jobs, workers, health and faults."""
    return StreamingResponse(_changes(plane_of(request)), media_type="text/event-stream")


async def _changes(plane: Plane) -> AsyncIterator[str]:
    seen, last = 0, ""
    while not plane.bells.closed:
        changed = [job for job in plane.endpoint.jobs.values() if job.change > seen][-SHOWN_JOBS:]
        seen = plane.endpoint.changes
        around = json.dumps(
            {
                "workers": _workers(plane.endpoint),
                "health": views.health(plane.endpoint),
                "faults": plane.endpoint.faults.to_object(),
            }
        )
        if changed:
            yield f"event: jobs\ndata: {json.dumps([views.summary(job) for job in changed])}\n\n"
        if around != last:
            yield f"event: state\ndata: {around}\n\n"
        last = around
        await asyncio.sleep(EVENTS_EVERY_S)


def _workers(endpoint: Endpoint) -> list[views.Object]:
    return [
        views.worker(worker, [job.id for job in endpoint.running(worker.id)])
        for worker in endpoint.workers
    ]


ROUTES = [
    Route("/", page),
    Route("/jobs", jobs),
    Route("/jobs", forget, methods=["DELETE"]),
    Route("/jobs/{job}", job),
    Route("/faults", faults, methods=["GET", "PUT", "DELETE"]),
    Route("/workers", workers, methods=["GET", "POST"]),
    Route("/workers/{worker}/terminate", terminate, methods=["POST"]),
    Route("/workers/{worker}/kill", kill, methods=["POST"]),
    Route("/workers/{worker}/log", log),
    Route("/events", events),
    Mount("/console", StaticFiles(directory=CONSOLE)),
]

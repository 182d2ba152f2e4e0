"""The admin API: the history of each job, faults, workers, and the console's page.

`GET /jobs`, `GET /jobs/{id}`, `DELETE /jobs` (forgets ended jobs);
`GET`, `PUT`, `DELETE /faults`; `GET`, `POST /workers`, `POST /workers/{id}/terminate` and `/kill`,
`GET /workers/{id}/log`; `GET /events`, a stream of changes.
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
from emulator.app_state import AppState, app_state
from emulator.endpoint import Endpoint
from emulator.faults import Faults, problems
from emulator.web import read, reply

CONSOLE = Path(__file__).parent / "console"
EVENTS_EVERY_S = 0.15
SHOWN_JOBS = 200
BODY_LIMIT = 1_000_000


async def page(_request: Request) -> Response:
    return FileResponse(CONSOLE / "index.html")


async def jobs(request: Request) -> Response:
    """All jobs, in the order of submission."""
    known = app_state(request).endpoint.jobs.values()
    return reply({"jobs": [views.summary(job) for job in known]})


async def job(request: Request) -> Response:
    """One job with its full history."""
    found = app_state(request).endpoint.jobs.get(request.path_params["job"])
    if found is None:
        raise HTTPException(404, "Job not found.")
    return reply(views.record(found))


async def forget(request: Request) -> Response:
    """Forgets ended jobs. Returns those that are left."""
    app_state(request).endpoint.forget(keep=0)
    return await jobs(request)


async def faults(request: Request) -> Response:
    """The active faults; PUT replaces them all, DELETE switches them all off."""
    endpoint = app_state(request).endpoint
    if request.method == "PUT":
        try:
            endpoint.set_faults(Faults.model_validate_json(await read(request, BODY_LIMIT)))
        except ValidationError as error:
            raise HTTPException(400, problems(error)) from error
    elif request.method == "DELETE":
        endpoint.set_faults(Faults())
    return reply(endpoint.faults.to_object())


async def workers(request: Request) -> Response:
    """All workers; POST starts another."""
    state = app_state(request)
    if request.method == "POST":
        await state.pool.start()
    return reply({"workers": _workers(state.endpoint)})


async def terminate(request: Request) -> Response:
    """Sends SIGTERM to a worker that the emulator started."""
    return _signalled(request, app_state(request).pool.terminate)


async def kill(request: Request) -> Response:
    """Sends SIGKILL to a worker that the emulator started."""
    return _signalled(request, app_state(request).pool.kill)


def _signalled(request: Request, send: Callable[[str], bool]) -> Response:
    if not send(request.path_params["worker"]):
        raise HTTPException(404, "The emulator has no running process for this worker.")
    return reply({"workers": _workers(app_state(request).endpoint)})


async def log(request: Request) -> Response:
    """The last lines of a worker's log."""
    lines = app_state(request).pool.log(request.path_params["worker"])
    if lines is None:
        raise HTTPException(404, "There is no log: the emulator did not start this worker.")
    return reply({"lines": lines})


async def events(request: Request) -> Response:
    """Changes to jobs, workers, health and faults, as server-sent events."""
    return StreamingResponse(_changes(app_state(request)), media_type="text/event-stream")


async def _changes(state: AppState) -> AsyncIterator[str]:
    seen, last = 0, ""
    while not state.notifier.closed:
        changed = [job for job in state.endpoint.jobs.values() if job.change > seen][-SHOWN_JOBS:]
        seen = state.endpoint.changes
        snapshot = json.dumps(
            {
                "workers": _workers(state.endpoint),
                "health": views.health(state.endpoint),
                "faults": state.endpoint.faults.to_object(),
            }
        )
        if changed:
            yield f"event: jobs\ndata: {json.dumps([views.summary(job) for job in changed])}\n\n"
        if snapshot != last:
            yield f"event: state\ndata: {snapshot}\n\n"
        last = snapshot
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

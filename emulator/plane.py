"""The control plane as its APIs see it: the state, and what acts on it.

Rule: the APIs translate HTTP and decide nothing; rules are in `endpoint.py`.
"""

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request

from emulator.bells import Bells
from emulator.endpoint import Endpoint
from emulator.job import Job
from emulator.pool import Pool


@dataclass(frozen=True)
class Plane:
    """One endpoint with its bells and its workers. `poll_seconds`: how long workers' polls last."""

    endpoint: Endpoint
    bells: Bells
    pool: Pool
    poll_seconds: float


def plane_of(request: Request) -> Plane:
    return request.app.state.plane


def job_of(request: Request) -> Job:
    """The job that the path names, as its client may see it. Raises 404."""
    job = plane_of(request).endpoint.find(request.path_params["job"])
    if job is None:
        raise HTTPException(404, "job not found")
    return job

"""The application state that all API routes share: endpoint, account, notifier and worker pool.

Rule: the APIs only translate HTTP; the platform's rules are in `endpoint.py`.
"""

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request

from emulator.account import Account
from emulator.endpoint import Endpoint
from emulator.job import Job
from emulator.notifier import Notifier
from emulator.pool import Pool


@dataclass(frozen=True)
class AppState:
    """What the routes work on. `poll_seconds`: how long a worker's long poll lasts."""

    endpoint: Endpoint
    account: Account
    notifier: Notifier
    pool: Pool
    poll_seconds: float


def app_state(request: Request) -> AppState:
    return request.app.state.emulator


def find_job(request: Request) -> Job:
    """The job in the request's path. Raises 404 if it is unknown, or past its retention period."""
    job = app_state(request).endpoint.find(request.path_params["job"])
    if job is None:
        raise HTTPException(404, "Job not found.")
    return job

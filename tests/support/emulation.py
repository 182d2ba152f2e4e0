"""Runs the emulator in its own process, with a client of its admin API, for tests.

Rule: a test waits for the state that it expects, with a generous timeout; it never just sleeps.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from tests.support import ROOT

T = TypeVar("T")

TOY_WORKER = (sys.executable, "-m", "tests.support.toy_worker")
"""RunPod's SDK with an echo handler: no engine, starts within a second."""


def eventually(check: Callable[[], T | None], within: float = 30) -> T:
    """The first truthy result of `check`. Raises AssertionError after `within` seconds."""
    deadline = time.monotonic() + within
    while not (found := check()):
        assert time.monotonic() < deadline, f"nothing within {within} s"
        time.sleep(0.05)
    return found


class Emulation:
    """A running emulator."""

    def __init__(self, url: str, process: "subprocess.Popen[str]") -> None:
        self.url = url
        self.process = process
        self.endpoint_url = f"{url}/v2/demo"
        self._http = httpx.Client(base_url=url, timeout=60)

    def submit(self, job_input: Any, **fields: Any) -> str:
        """Submits a job. Returns its id. `fields`: policy, webhook."""
        return self._call("POST", "/v2/demo/run", {"input": job_input, **fields})["id"]

    def job(self, job_id: str) -> dict[str, Any]:
        """The job's record: its state, deliveries, chunks and events."""
        return self._call("GET", f"/jobs/{job_id}")

    def last_job(self) -> dict[str, Any]:
        """The record of the last submitted job."""
        return self.job(self._call("GET", "/jobs")["jobs"][-1]["id"])

    def forget(self) -> None:
        """Makes the emulator forget ended jobs."""
        self._call("DELETE", "/jobs")

    def ended(self, job_id: str, within: float = 30) -> dict[str, Any]:
        """Waits until the job has ended. Returns its record."""

        def check() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["ended"] else None

        return eventually(check, within)

    def in_state(self, job_id: str, state: str, within: float = 30) -> dict[str, Any]:
        """Waits until the job is in that state. Returns its record."""

        def check() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["state"] == state else None

        return eventually(check, within)

    def cancel(self, job_id: str) -> dict[str, Any]:
        return self._call("POST", f"/v2/demo/cancel/{job_id}")

    def set_faults(self, **faults: Any) -> None:
        """Replaces all faults by these; without arguments, switches all off."""
        self._call("PUT", "/faults", faults)

    def faults(self) -> dict[str, Any]:
        return self._call("GET", "/faults")

    def workers(self) -> list[dict[str, Any]]:
        return self._call("GET", "/workers")["workers"]

    def worker(self, worker_id: str) -> dict[str, Any]:
        return next(worker for worker in self.workers() if worker["id"] == worker_id)

    def start_worker(self) -> str:
        """Starts another worker. Returns its id."""
        return self._call("POST", "/workers")["workers"][-1]["id"]

    def terminate(self, worker_id: str) -> None:
        """Sends SIGTERM to a worker."""
        self._call("POST", f"/workers/{worker_id}/terminate")

    def kill(self, worker_id: str) -> None:
        """Sends SIGKILL to a worker's main process."""
        self._call("POST", f"/workers/{worker_id}/kill")

    def log(self, worker_id: str) -> list[str]:
        return self._call("GET", f"/workers/{worker_id}/log")["lines"]

    def exit_status(self, worker_id: str, within: float = 30) -> int:
        """Waits until a worker has exited. Returns its exit status."""
        eventually(lambda: self.worker(worker_id)["state"] == "exited", within)
        return self.worker(worker_id)["exit_code"]

    def ready(self, workers: int = 1, within: float = 60) -> list[str]:
        """Waits until that many workers are idle or running. Returns their ids."""

        def check() -> list[str] | None:
            ready = [w["id"] for w in self.workers() if w["state"] in ("idle", "running")]
            return ready if len(ready) >= workers else None

        return eventually(check, within)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._http.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def close(self) -> None:
        self._http.close()


@contextmanager
def emulation(
    workers: int = 0, command: Sequence[str] = TOY_WORKER, **environment: str
) -> Generator[Emulation]:
    """Runs an emulator with that many workers. They inherit `environment`, too."""
    process = subprocess.Popen(
        [sys.executable, "-m", "emulator"],
        cwd=ROOT,
        env={**os.environ, **_environment(workers, command), **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        running = Emulation(line.rpartition(" ")[2].strip(), process)
        yield running
        running.close()
    finally:
        process.terminate()
        try:
            process.communicate(timeout=30)
        finally:
            process.kill()


def _environment(workers: int, command: Sequence[str]) -> Mapping[str, str]:
    return {
        "PORT": "0",
        "WORKERS": str(workers),
        "WORKER_COMMAND": " ".join(command),
        "PING_INTERVAL_MS": "1000",
        "RUNPOD_LOG_LEVEL": "INFO",
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
    }


def streamed(job: Mapping[str, Any]) -> list[Any]:
    """The chunks' outputs of the job's owner."""
    return [chunk["output"] for chunk in _owner(job).get("chunks", [])]


def refused(job: Mapping[str, Any]) -> list[tuple[str, int | None]]:
    """(route, status) of the refused POSTs of the job's owner."""
    return [(refusal["route"], refusal["status"]) for refusal in _owner(job).get("refused", [])]


def _owner(job: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((attempt for attempt in job["attempts"] if attempt["owner"]), {})

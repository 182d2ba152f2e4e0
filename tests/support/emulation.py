"""The emulator in a process of its own, and a client of its own API, for tests.

Rule: a test waits for what it expects, with a deadline far beyond it, and never for a time.
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
"""RunPod's SDK with a handler that echoes: no engine, up in a second."""


def eventually(look: Callable[[], T | None], within: float = 30) -> T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, f"nothing came within {within} s"
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
        """Runs a job; its id. `fields`: policy, webhook."""
        return self._call("POST", "/v2/demo/run", {"input": job_input, **fields})["id"]

    def job(self, job_id: str) -> dict[str, Any]:
        """All that the emulator knows of a job, chunks and receipts included."""
        return self._call("GET", f"/jobs/{job_id}")

    def last_job(self) -> dict[str, Any]:
        """The record of the job that was submitted last."""
        return self.job(self._call("GET", "/jobs")["jobs"][-1]["id"])

    def forget(self) -> None:
        """Forgets the jobs that have ended."""
        self._call("DELETE", "/jobs")

    def ended(self, job_id: str, within: float = 30) -> dict[str, Any]:
        """The job's record, once it has ended."""

        def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["ended"] else None

        return eventually(look, within)

    def in_state(self, job_id: str, state: str, within: float = 30) -> dict[str, Any]:
        """The job's record, once it is in that state."""

        def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["state"] == state else None

        return eventually(look, within)

    def cancel(self, job_id: str) -> dict[str, Any]:
        return self._call("POST", f"/v2/demo/cancel/{job_id}")

    def set_faults(self, **faults: Any) -> None:
        """Switches exactly these faults on; none takes all off."""
        self._call("PUT", "/faults", faults)

    def faults(self) -> dict[str, Any]:
        return self._call("GET", "/faults")

    def workers(self) -> list[dict[str, Any]]:
        return self._call("GET", "/workers")["workers"]

    def worker(self, worker_id: str) -> dict[str, Any]:
        return next(worker for worker in self.workers() if worker["id"] == worker_id)

    def start_worker(self) -> str:
        """Starts another worker; its id."""
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
        """A worker's exit status, once it has exited."""
        eventually(lambda: self.worker(worker_id)["state"] == "exited", within)
        return self.worker(worker_id)["exit_code"]

    def ready(self, workers: int = 1, within: float = 60) -> list[str]:
        """The ids of the workers that take jobs, once there are that many."""

        def look() -> list[str] | None:
            able = [w["id"] for w in self.workers() if w["state"] in ("idle", "running")]
            return able if len(able) >= workers else None

        return eventually(look, within)

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
    """An emulator with so many workers; `environment` is theirs, too."""
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
    """The outputs that a job's owner streamed."""
    return [chunk["output"] for chunk in _owner(job).get("chunks", [])]


def refused(job: Mapping[str, Any]) -> list[tuple[str, int | None]]:
    """The doors and statuses of the POSTs that were not let in, of the job's owner."""
    return [(refusal["door"], refusal["status"]) for refusal in _owner(job).get("refused", [])]


def _owner(job: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((attempt for attempt in job["attempts"] if attempt["owner"]), {})

"""A queue worker as RunPod runs it: handler.py, the real SDK and the real engine in one process.

The control plane here is only what the SDK asks for: a job to take, and a place for what it makes.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


class ControlPlane(ThreadingHTTPServer):
    """Hands out `jobs`; collects what is posted for them by id."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.jobs: Queue[dict[str, Any]] = Queue()
        self.streamed: dict[str, list[Any]] = {}
        self.done: dict[str, Any] = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v2/ep"

    def result(self, job_id: str, within: float) -> Any:
        """What the worker reported for a job."""
        deadline = time.monotonic() + within
        while job_id not in self.done:
            assert time.monotonic() < deadline, "no result came"
            time.sleep(0.05)
        return self.done[job_id]


class _Handler(BaseHTTPRequestHandler):
    server: ControlPlane  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        if "/job-take" not in self.path:
            self._reply(204 if "/job-stop/" in self.path else 200)
            return
        try:
            job = self.server.jobs.get(timeout=0.5)
        except Empty:
            self._reply(204)
            return
        self._reply(200, [job] if "/job-take-batch/" in self.path else job)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind, job_id = self.path.partition("?")[0].split("/")[-2:]
        if kind == "job-stream":
            self.server.streamed.setdefault(job_id, []).append(body["output"])
        else:
            self.server.done[job_id] = body
        self._reply(200)

    def _reply(self, status: int, value: Any = None) -> None:
        body = b"" if status == 204 else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test says what matters."""


@pytest.fixture
def control_plane() -> Iterator[ControlPlane]:
    server = ControlPlane()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_jobs_are_taken_streamed_and_reported(control_plane: ControlPlane, tmp_path: Path) -> None:
    """A stream, an error and a whole answer; SIGTERM ends the worker with status 0."""
    hello = [{"role": "user", "content": "What is 2+2?"}]
    chat = {"messages": hello, "temperature": 0, "stream": True}
    form = {"openai_route": "/v1/chat/completions", "openai_input": chat}
    control_plane.jobs.put({"id": "streamed", "input": form})
    control_plane.jobs.put({"id": "wrong", "input": {"messages": "no"}})
    control_plane.jobs.put({"id": "whole", "input": {**chat, "stream": False}})
    url = control_plane.url
    environment = {
        "HOME": str(tmp_path),
        "MODEL": "demo",
        "RUNPOD_AI_API_KEY": "key",
        "RUNPOD_POD_ID": "pod",
        "RUNPOD_PING_INTERVAL": "1000",
        "RUNPOD_WEBHOOK_GET_JOB": f"{url}/job-take/$ID?gpu=x",
        "RUNPOD_WEBHOOK_PING": f"{url}/ping/$RUNPOD_POD_ID?gpu=x",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{url}/job-done/$ID?gpu=x",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{url}/job-stream/$ID?gpu=x",
    }
    log = (tmp_path / "log").open("w")
    worker = subprocess.Popen(
        [sys.executable, "handler.py"],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        streamed = control_plane.result("streamed", within=180)
        wrong = control_plane.result("wrong", within=20)
        whole = control_plane.result("whole", within=20)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    finally:
        worker.kill()
        worker.wait()
        log.close()
    events = control_plane.streamed["streamed"]
    assert streamed["output"] == events
    assert len(events) > 5
    assert events[-1] == "data: [DONE]\n\n"
    assert json.loads(wrong["error"])["param"] == "messages"
    assert "4" in whole["output"][0]["choices"][0]["message"]["content"]

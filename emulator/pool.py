"""The workers that the emulator starts itself: child processes with the environment RunPod sets.

Rules: each has its own session, home directory and log. When a worker's process ends, all processes
that it started are killed, as when a container ends. Closing the pool ends all workers in bounded
time.
"""

import asyncio
import itertools
import os
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from emulator.endpoint import Endpoint
from emulator.queue import QUEUE_TOPIC

PROJECT = Path(__file__).parent.parent
STOP_SECONDS = 10
SIGNAL_DELIVERY_S = 0.2
"""How long to wait until a process has surely received a signal."""
LOG_LINES = 400
PRINTED_LINES, PRINTED_LINE_LENGTH = 20, 300
"""How much of its log is printed when a worker exits unexpectedly."""


@dataclass
class Child:
    """One worker's process."""

    process: asyncio.subprocess.Process
    home: "tempfile.TemporaryDirectory[str]"
    watch: "asyncio.Task[None]"

    @property
    def log(self) -> Path:
        return log_in(self.home)


def log_in(home: "tempfile.TemporaryDirectory[str]") -> Path:
    return Path(home.name) / "worker.log"


def environment(url: str, worker_id: str, home: str, ping_interval_ms: int) -> dict[str, str]:
    """The variables that RunPod sets for a queue worker. `url`: the endpoint's, up to its name."""
    inherited = {name: value for name, value in os.environ.items() if name != "PORT"}
    return {
        **inherited,
        "HOME": home,
        "RUNPOD_AI_API_KEY": "emulator",
        "RUNPOD_POD_ID": worker_id,
        "RUNPOD_PING_INTERVAL": str(ping_interval_ms),
        "RUNPOD_WEBHOOK_GET_JOB": f"{url}/job-take/$ID?gpu=none",
        "RUNPOD_WEBHOOK_PING": f"{url}/ping/$RUNPOD_POD_ID?gpu=none",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{url}/job-done/$RUNPOD_POD_ID/$ID?gpu=none",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{url}/job-stream/$RUNPOD_POD_ID/$ID?gpu=none",
    }


class Pool:
    """The child processes, by worker id."""

    def __init__(self, endpoint: Endpoint, command: Sequence[str], ping_interval_ms: int) -> None:
        self._endpoint = endpoint
        self._command = command
        self._ping_interval_ms = ping_interval_ms
        self._children: dict[str, Child] = {}
        self._killed: set[str] = set()
        self._numbers = itertools.count(1)
        self.url = ""
        """The endpoint's URL; set once the server listens."""

    async def start(self) -> str:
        """Starts another worker. Returns its id."""
        worker_id = f"worker-{next(self._numbers)}"
        home = tempfile.TemporaryDirectory(prefix=f"{worker_id}-", ignore_cleanup_errors=True)
        with log_in(home).open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=PROJECT,
                env=environment(self.url, worker_id, home.name, self._ping_interval_ms),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._endpoint.workers.get(worker_id).pid = process.pid
        watch = asyncio.create_task(self._watch(worker_id, process, log_in(home)))
        self._children[worker_id] = Child(process, home, watch)
        return worker_id

    async def _watch(self, worker_id: str, process: asyncio.subprocess.Process, log: Path) -> None:
        status = await process.wait()
        with suppress(ProcessLookupError):  # its session has no processes left
            os.killpg(process.pid, signal.SIGKILL)
        self._endpoint.workers.mark_exited(worker_id, status)
        expected = self._endpoint.workers.get(worker_id).stopping or worker_id in self._killed
        if status != 0 and not expected:
            lines = [line[:PRINTED_LINE_LENGTH] for line in tail(log, PRINTED_LINES)]
            print(f"{worker_id} exited with {status}:", *lines, sep="\n", file=sys.stderr)

    def terminate(self, worker_id: str) -> bool:
        """Sends SIGTERM: the worker is to finish its jobs. False if it is not ours or not alive."""
        if not self._send(worker_id, signal.SIGTERM):
            return False
        self._endpoint.workers.mark_stopping(worker_id)
        # With the fault `hold_until_stop`, a job must arrive after the signal.
        loop = asyncio.get_running_loop()
        loop.call_later(SIGNAL_DELIVERY_S, self._endpoint.notify, QUEUE_TOPIC)
        return True

    def kill(self, worker_id: str) -> bool:
        """Sends SIGKILL. False if the worker is not ours or not alive."""
        self._killed.add(worker_id)
        return self._send(worker_id, signal.SIGKILL)

    def _send(self, worker_id: str, number: signal.Signals) -> bool:
        child = self._children.get(worker_id)
        if child is None or child.process.returncode is not None:
            return False
        child.process.send_signal(number)
        return True

    def log(self, worker_id: str) -> list[str] | None:
        """The last lines of a worker's log; None if this pool did not start the worker."""
        child = self._children.get(worker_id)
        return tail(child.log, LOG_LINES) if child else None

    def terminate_all(self) -> None:
        for worker_id in self._children:
            self.terminate(worker_id)

    async def close(self) -> None:
        """Waits until all workers have ended; kills those still alive after `STOP_SECONDS`."""
        watches = [child.watch for child in self._children.values()]
        if watches:
            _, late = await asyncio.wait(watches, timeout=STOP_SECONDS)
            for worker_id in self._children if late else ():
                self.kill(worker_id)
            await asyncio.gather(*watches)
        for child in self._children.values():
            child.home.cleanup()


def tail(log: Path, lines: int) -> list[str]:
    with log.open(errors="replace") as text:
        return [line.rstrip("\n") for line in deque(text, maxlen=lines)]

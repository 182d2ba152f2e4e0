"""The processes that a benchmark starts: each has a log, a time to get ready, and an end.

Rule: nothing is waited for without a limit. A process that exits, or is not ready in time, is an
error that shows the end of its log.
"""

import asyncio
import json
import os
import re
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil

from benchmarks.harness import ROOT

T = TypeVar("T")

POLL_SECONDS = 0.05
STOP_SECONDS = 15
"""Time to end after SIGTERM; then it is killed."""
LOG_LINES = 30
RUN_SECONDS = 300
"""Time for a process that answers once."""
URL = re.compile(r" at (http://\S+)\n")


class ProcessFailed(Exception):
    """A process has ended or did not do what was waited for; the message has the end of its log."""


class Child:
    """A running process. `log`: its stdout and stderr."""

    def __init__(self, process: Process, log: Path) -> None:
        self.pid = process.pid
        self._process = process
        self._log = log

    async def until(
        self, condition: Callable[[], Awaitable[T | None]], seconds: float, what: str
    ) -> T:
        """The first truthy result of `condition`. Raises ProcessFailed, which says `what` was
        waited for."""
        deadline = time.monotonic() + seconds
        while not (found := await condition()):
            if self._process.returncode is not None:
                raise self.failed(f"{what}: exited with {self._process.returncode}")
            if time.monotonic() > deadline:
                raise self.failed(f"{what}: not within {seconds:g} s")
            await asyncio.sleep(POLL_SECONDS)
        return found

    async def url(self, seconds: float) -> str:
        """The URL of a server that prints "… at http://…" when it is ready."""

        async def printed() -> str | None:
            found = URL.search(self._log.read_text(errors="replace"))
            return found and found[1]

        return await self.until(printed, seconds, "the server's URL")

    def failed(self, why: str) -> ProcessFailed:
        lines = self._log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return ProcessFailed("\n".join([f"process {self.pid}: {why}", *lines]))

    async def end(self) -> None:
        """Ends the process, and those that it has left behind."""
        children = descendants(self.pid)
        if self._process.returncode is None:
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()  # if it is the same process, not another one with its number
        await asyncio.to_thread(psutil.wait_procs, children, STOP_SECONDS)


def descendants(pid: int) -> list[psutil.Process]:
    """The processes that a process has started, and those that these have; none if it has ended."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


async def json_from(*arguments: str, **environment: str) -> Any:
    """Runs this Python with `arguments` to its end. Returns the JSON of its last line of output.

    Its log goes to our stderr.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments), stdout=PIPE, env={**os.environ, **environment}
    )
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), RUN_SECONDS)
    except TimeoutError:
        process.kill()
        raise ProcessFailed(f"{arguments} was not done within {RUN_SECONDS} s") from None
    if process.returncode != 0:
        raise ProcessFailed(f"{arguments} exited with status {process.returncode}")
    return json.loads(printed.splitlines()[-1])


@asynccontextmanager
async def python(*arguments: str, **environment: str) -> AsyncGenerator[Child]:
    """Runs this Python with `arguments`, until the context ends."""
    with tempfile.NamedTemporaryFile("wb", suffix=".log") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *arguments),
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=DEVNULL,
            stdout=log,
            stderr=log,
        )
        child = Child(process, Path(log.name))
        try:
            yield child
        finally:
            await child.end()

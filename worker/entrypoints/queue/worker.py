"""The queue worker: the loop that takes jobs, has them answered side by side, and ends in order.

Rules: a job that runs is not begun twice. After SIGTERM nothing more is taken, what a poll had
already brought is answered, and what does not end in DRAIN_SECONDS fails as retriable. A worker
whose engine has died reports its jobs and ends with status 1.
"""

import asyncio
import logging
import signal
from contextlib import aclosing

import aiohttp

from worker.engine import Health, Sampling
from worker.entrypoints.queue import retry
from worker.entrypoints.queue.control_plane import (
    ControlPlane,
    connected,
    in_progress,
    keep_pinging,
)
from worker.entrypoints.queue.job_runner import JobRunner
from worker.entrypoints.queue.jobs import Job
from worker.entrypoints.queue.watch import watched
from worker.errors import WorkerError
from worker.metrics import Telemetry
from worker.service import Service
from worker.settings import Settings

log = logging.getLogger(__name__)

AHEAD = 8
"""Jobs that are taken over MAX_RUNNING_REQUESTS, so that a free place is filled at once."""
LAST_POLL_SECONDS = 1.0
"""How long a poll that is under way at SIGTERM may still bring jobs."""
WATCH_SECONDS = 0.25
LAST_REPORTS_SECONDS = 5.0
"""How long the failed jobs of a dead engine, or of an ended drain, are reported."""


class QueueWorker:
    """Stands where RunPod's SDK has its JobScaler: `start` returns when the worker has ended."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self.exit_status = 0
        self._service = service
        self._settings = settings
        self._telemetry = Telemetry(service.engine)
        queued = settings.max_queued_requests
        self._capacity = settings.max_running_requests + (AHEAD if queued is None else queued)
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._job_ended = asyncio.Event()
        self._ending = asyncio.Event()

    def start(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        try:
            await self._answer_one_token()
            async with (
                watched(self._service.engine, self._telemetry, self._settings),
                connected(self._telemetry) as plane,
            ):
                await self._serve(plane)
        except WorkerError:
            log.exception("the worker ends")
            self.exit_status = 1
        finally:
            await self._service.engine.close()

    async def _answer_one_token(self) -> None:
        """The engine answers on this very loop, before any job is taken."""
        sampling = Sampling(max_tokens=1, temperature=0.0)
        async with aclosing(self._service.engine.generate([0], sampling, "probe")) as steps:
            async for _ in steps:
                pass

    async def _serve(self, plane: ControlPlane) -> None:
        flush = self._settings.stream_flush_ms / 1000
        runner = JobRunner(self._service, plane, self._telemetry, flush)
        take = asyncio.create_task(self._take_jobs(plane, runner))
        beside = [
            asyncio.create_task(work)
            for work in (self._stop_jobs(plane), self._watch(), self._ending.wait())
        ]
        log.info("taking up to %d jobs at once", self._capacity)
        try:
            await asyncio.wait([take, *beside], return_when=asyncio.FIRST_COMPLETED)
            await self._end_taking(take, plane)
            await self._drain(runner)
            for task in (take, *beside):
                if task.done() and not task.cancelled():
                    task.result()  # raises what it failed with
        finally:
            left = [take, *beside, *self._jobs.values()]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _take_jobs(self, plane: ControlPlane, runner: JobRunner) -> None:
        while not self._ending.is_set():
            if (free := self._capacity - len(self._jobs)) <= 0:
                self._job_ended.clear()
                await self._job_ended.wait()
                continue
            try:
                jobs = await plane.take(free)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                log.warning("no jobs could be taken: %r", error)
                await asyncio.sleep(retry.POLL_BACKOFF_SECONDS)
                continue
            for job in jobs:
                self._begin(job, runner)

    def _begin(self, job: Job, runner: JobRunner) -> None:
        if job.id in self._jobs:
            log.warning("job %s was delivered twice", job.id)
            return
        in_progress(job.id)
        task = self._jobs[job.id] = asyncio.create_task(runner.run(job))
        task.add_done_callback(lambda _: self._end(job))

    def _end(self, job: Job) -> None:
        del self._jobs[job.id]
        in_progress(job.id, ended=True)
        self._job_ended.set()

    async def _stop_jobs(self, plane: ControlPlane) -> None:
        while True:
            try:
                stopped = await plane.stopped()
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                log.warning("no word of stopped jobs: %r", error)
                stopped = []
                await asyncio.sleep(retry.POLL_BACKOFF_SECONDS)
            for job_id in stopped:
                if (task := self._jobs.get(job_id)) is not None:
                    task.cancel()
            if not stopped:
                await asyncio.sleep(retry.STOPPED_PAUSE_SECONDS)

    async def _watch(self) -> None:
        """Returns when the engine is dead; meanwhile keeps the pings going."""
        while self._service.engine.health() is not Health.DEAD:
            keep_pinging()
            await asyncio.sleep(WATCH_SECONDS)
        self.exit_status = 1

    async def _end_taking(self, take: "asyncio.Task[None]", plane: ControlPlane) -> None:
        """Ends the poll under way; jobs that it has brought, or is bringing, are begun."""
        self._ending.set()
        self._job_ended.set()
        grace = 0.0 if self.exit_status else LAST_POLL_SECONDS
        await asyncio.wait([take], timeout=grace)
        while plane.receiving:
            await asyncio.wait([take], timeout=0.1)
        take.cancel()

    async def _drain(self, runner: JobRunner) -> None:
        """Waits for the running jobs; then fails those that have not ended."""
        log.info("ending; %d jobs are running", len(self._jobs))
        limit = LAST_REPORTS_SECONDS if self.exit_status else self._settings.drain_seconds
        if self._jobs:
            await asyncio.wait(self._jobs.values(), timeout=limit)
        if self._jobs:
            runner.ending = True
            for job_id, task in self._jobs.items():
                if job_id not in runner.reporting:
                    task.cancel()
            await asyncio.wait(self._jobs.values(), timeout=LAST_REPORTS_SECONDS)

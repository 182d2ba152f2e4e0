"""The queue worker: takes jobs, runs them concurrently, and shuts down gracefully.

Rules: a running job is never started twice. After SIGTERM no more jobs are taken; jobs already
received are answered, and those that do not finish within DRAIN_SECONDS fail as retriable. If the
engine dies, the worker reports its jobs and exits with status 1.
"""

import asyncio
import logging
import signal
import time
from contextlib import aclosing

import aiohttp

from worker.access_log import request_log
from worker.engine import Health, Sampling
from worker.entrypoints.queue import retry
from worker.entrypoints.queue.control_plane import (
    ControlPlane,
    keep_pinging,
    mark_in_progress,
    open_control_plane,
)
from worker.entrypoints.queue.job_runner import JobRunner
from worker.entrypoints.queue.jobs import Job
from worker.entrypoints.queue.monitoring import serve_monitoring
from worker.errors import WorkerError
from worker.metrics import Telemetry
from worker.service import Service
from worker.settings import Settings

log = logging.getLogger(__name__)

PREFETCHED_JOBS = 8
"""Jobs taken in excess of MAX_RUNNING_REQUESTS, so that a free slot is filled at once."""
LAST_POLL_SECONDS = 1.0
"""How long a pending poll may still return jobs after SIGTERM."""
HEALTH_CHECK_SECONDS = 0.25
STOPPED_EARLY_SECONDS = 5.0
"""How long a job that was stopped may still be on its way to this worker. Not longer: a job that
timed out has been stopped as well, and may be retried under its id."""
LAST_REPORTS_SECONDS = 5.0
"""Time limit for reporting failed jobs after the engine's death or at the end of draining."""


class QueueWorker:
    """Replaces the JobScaler of RunPod's SDK. `start` returns when the worker has shut down."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self.exit_status = 0
        self._service = service
        self._settings = settings
        self._telemetry = Telemetry(service.engine, service.boot_seconds)
        queued = settings.max_queued_requests
        self._capacity = settings.max_running_requests + (
            PREFETCHED_JOBS if queued is None else queued
        )
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._stopped_early: dict[str, float] = {}
        """When each job that is not known here was stopped."""
        self._job_ended = asyncio.Event()
        self._stopping = asyncio.Event()

    def start(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        try:
            await self._generate_one_token()
            async with (
                serve_monitoring(self._service.engine, self._telemetry, self._settings),
                open_control_plane(self._telemetry) as plane,
            ):
                await self._serve(plane)
        except WorkerError:
            log.exception("the worker failed; shutting down")
            self.exit_status = 1
        finally:
            await self._service.engine.close()
            log.info("stopped")

    async def _generate_one_token(self) -> None:
        """Checks that the engine works on this event loop, before any job is taken."""
        sampling = Sampling(max_tokens=1, temperature=0.0)
        async with aclosing(self._service.engine.generate([0], sampling, "probe")) as steps:
            async for _ in steps:
                pass

    async def _serve(self, plane: ControlPlane) -> None:
        flush = self._settings.stream_flush_ms / 1000
        requests = request_log(self._settings, self._service.models[0])
        runner = JobRunner(self._service, plane, self._telemetry, requests, flush)
        take = asyncio.create_task(self._take_jobs(plane, runner))
        background = [
            asyncio.create_task(work)
            for work in (self._stop_jobs(plane), self._monitor_engine(), self._stopping.wait())
        ]
        log.info("accepting up to %d concurrent jobs", self._capacity)
        try:
            await asyncio.wait([take, *background], return_when=asyncio.FIRST_COMPLETED)
            await self._stop_taking(take, plane)
            await self._drain(runner)
            for task in (take, *background):
                if task.done() and not task.cancelled():
                    task.result()  # raises the task's exception
        finally:
            left = [take, *background, *self._jobs.values()]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _take_jobs(self, plane: ControlPlane, runner: JobRunner) -> None:
        while not self._stopping.is_set():
            if (free := self._capacity - len(self._jobs)) <= 0:
                self._job_ended.clear()
                await self._job_ended.wait()
                continue
            try:
                jobs = await plane.take(free)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                log.warning("polling for jobs failed: %r", error)
                await asyncio.sleep(retry.POLL_BACKOFF_SECONDS)
                continue
            for job in jobs:
                self._start_job(job, runner)

    def _start_job(self, job: Job, runner: JobRunner) -> None:
        if job.id in self._jobs:
            log.warning("job %s was delivered twice; ignoring the second delivery", job.id)
            return
        if self._stopped_early.pop(job.id, None) is not None:
            log.info("job %s: stopped", job.id)
            return
        mark_in_progress(job.id)
        task = self._jobs[job.id] = asyncio.create_task(runner.run(job))
        task.add_done_callback(lambda done: self._on_job_done(job, done))

    def _on_job_done(self, job: Job, task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            log.info("job %s: stopped", job.id)
        del self._jobs[job.id]
        mark_in_progress(job.id, ended=True)
        self._job_ended.set()

    async def _stop_jobs(self, plane: ControlPlane) -> None:
        while True:
            try:
                stopped = await plane.stopped_jobs()
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                log.warning("polling for stopped jobs failed: %r", error)
                stopped = []
                await asyncio.sleep(retry.POLL_BACKOFF_SECONDS)
            for job_id in stopped:
                self._stop_job(job_id)
            if not stopped:
                await asyncio.sleep(retry.STOPPED_POLL_INTERVAL_SECONDS)

    def _stop_job(self, job_id: str) -> None:
        """Stops a job, also one whose delivery arrives after its stop: RunPod sends the two in
        answers to different polls, and each only once."""
        if (task := self._jobs.get(job_id)) is not None:
            task.cancel()
            return
        now = time.monotonic()
        early = self._stopped_early.items()
        self._stopped_early = {i: at for i, at in early if now - at < STOPPED_EARLY_SECONDS}
        self._stopped_early[job_id] = now

    async def _monitor_engine(self) -> None:
        """Keeps the SDK's pings running. Returns when the engine is dead."""
        while self._service.engine.health() is not Health.DEAD:
            keep_pinging()
            await asyncio.sleep(HEALTH_CHECK_SECONDS)
        self.exit_status = 1

    async def _stop_taking(self, take: "asyncio.Task[None]", plane: ControlPlane) -> None:
        """Ends the pending poll; jobs that have been or are being received are still started."""
        self._stopping.set()
        self._job_ended.set()
        grace = 0.0 if self.exit_status else LAST_POLL_SECONDS
        await asyncio.wait([take], timeout=grace)
        while plane.receiving:
            await asyncio.wait([take], timeout=0.1)
        take.cancel()

    async def _drain(self, runner: JobRunner) -> None:
        """Waits for the running jobs, then fails those that have not finished."""
        log.info("shutting down; %d jobs are still running", len(self._jobs))
        limit = LAST_REPORTS_SECONDS if self.exit_status else self._settings.drain_seconds
        if self._jobs:
            await asyncio.wait(self._jobs.values(), timeout=limit)
        if self._jobs:
            runner.ending = True
            for job_id, task in self._jobs.items():
                if job_id not in runner.reporting:
                    task.cancel()
            await asyncio.wait(self._jobs.values(), timeout=LAST_REPORTS_SECONDS)

"""The queue worker: the loop that takes jobs, answers them side by side, and reports each.

Rules: a job that was taken is reported, whatever happens: answered, failed with its reason, or
stopped by RunPod, which then wants no report. A stream is pulled: while one POST is under way, what
the engine makes waits in it, and goes with the next. After SIGTERM nothing more is taken, what a
poll had already brought is answered, and what does not end in DRAIN_SECONDS fails as retriable. A
worker whose engine has died reports its jobs and ends with status 1.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import aiohttp

from worker.engine import Health, Sampling
from worker.entrypoints.job import error_of, outputs
from worker.entrypoints.queue.control_plane import (
    ControlPlane,
    connected,
    in_progress,
    keep_pinging,
)
from worker.entrypoints.queue.delivery import Undeliverable
from worker.entrypoints.queue.jobs import Job
from worker.errors import ServerError, WorkerError
from worker.metrics import JobMetrics
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
        queued = settings.max_queued_requests
        self._capacity = settings.max_running_requests + (AHEAD if queued is None else queued)
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._reporting: set[str] = set()
        self._job_ended = asyncio.Event()
        self._ending = asyncio.Event()
        self._drained_out = False

    def start(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        try:
            await self._answer_one_token()
            async with connected() as plane:
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
        take = asyncio.create_task(self._take_jobs(plane))
        beside = [
            asyncio.create_task(work)
            for work in (self._stop_jobs(plane), self._watch(), self._ending.wait())
        ]
        log.info("taking up to %d jobs at once", self._capacity)
        try:
            await asyncio.wait([take, *beside], return_when=asyncio.FIRST_COMPLETED)
            await self._end_taking(take, plane)
            await self._drain()
            for task in (take, *beside):
                if task.done() and not task.cancelled():
                    task.result()  # raises what it failed with
        finally:
            left = [take, *beside, *self._jobs.values()]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _take_jobs(self, plane: ControlPlane) -> None:
        while not self._ending.is_set():
            if (free := self._capacity - len(self._jobs)) <= 0:
                self._job_ended.clear()
                await self._job_ended.wait()
                continue
            try:
                jobs = await plane.take(free)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                log.warning("no jobs could be taken: %r", error)
                await asyncio.sleep(1)
                continue
            for job in jobs:
                self._begin(job, plane)

    def _begin(self, job: Job, plane: ControlPlane) -> None:
        if job.id in self._jobs:
            log.warning("job %s was delivered twice", job.id)
            return
        in_progress(job.id)
        task = self._jobs[job.id] = asyncio.create_task(self._answer(job, plane))
        task.add_done_callback(lambda _: self._end(job))

    def _end(self, job: Job) -> None:
        del self._jobs[job.id]
        self._reporting.discard(job.id)
        in_progress(job.id, ended=True)
        self._job_ended.set()

    async def _answer(self, job: Job, plane: ControlPlane) -> None:
        metrics = JobMetrics()
        try:
            result = await self._result(job, plane, metrics)
        except asyncio.CancelledError:
            if not self._drained_out:
                log.info("job %s: stopped", job.id)
                raise
            ending = ServerError("The worker is ending; try again.", code="worker_ending")
            result = {"error": ending.to_json()}
        except Exception:  # whatever happens, a job is reported
            log.exception("job %s", job.id)
            result = {"error": ServerError("The worker failed on this job.").to_json()}
        self._reporting.add(job.id)
        try:
            await plane.send_result(job, result)
        except Undeliverable:
            log.exception("job %s: its result could not be delivered", job.id)
        log.info("job %s: %s %s", job.id, *_summary(result, metrics))

    async def _result(self, job: Job, plane: ControlPlane, metrics: JobMetrics) -> dict[str, Any]:
        """What is reported when the job's outputs have been delivered."""
        delivered: list[Any] = []
        items = outputs(self._service, job.input, metrics, job.problem)
        async with aclosing(items):
            async for item in items:
                if (error := error_of(item)) is not None:
                    return {"error": error}
                started = time.monotonic()
                try:
                    key = str(len(delivered))
                    delivered += [sent async for sent in plane.send_chunk(job, item, key)]
                except Undeliverable as error:
                    return {"error": error.to_json()}
                metrics.note_delivery(time.monotonic() - started)
                await self._pause(started)
        return {"output": delivered}

    async def _pause(self, started: float) -> None:
        """Keeps STREAM_FLUSH_MS between the beginnings of two deliveries."""
        left = started + self._settings.stream_flush_ms / 1000 - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)

    async def _stop_jobs(self, plane: ControlPlane) -> None:
        while True:
            try:
                stopped = await plane.stopped()
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                log.warning("no word of stopped jobs: %r", error)
                stopped = []
                await asyncio.sleep(1)
            for job_id in stopped:
                if (task := self._jobs.get(job_id)) is not None:
                    task.cancel()
            if not stopped:
                await asyncio.sleep(0.1)  # a server may not hold the poll open

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

    async def _drain(self) -> None:
        """Waits for the running jobs; then fails those that have not ended."""
        log.info("ending; %d jobs are running", len(self._jobs))
        limit = LAST_REPORTS_SECONDS if self.exit_status else self._settings.drain_seconds
        if self._jobs:
            await asyncio.wait(self._jobs.values(), timeout=limit)
        if self._jobs:
            self._drained_out = True
            for job_id, task in self._jobs.items():
                if job_id not in self._reporting:
                    task.cancel()
            await asyncio.wait(self._jobs.values(), timeout=LAST_REPORTS_SECONDS)


def _summary(result: Mapping[str, Any], metrics: JobMetrics) -> tuple[str, Mapping[str, Any]]:
    return "failed" if "error" in result else "done", metrics.to_object()

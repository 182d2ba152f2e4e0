"""A job's way through this worker: answered, streamed as it is made, and reported.

Rules: a job that was taken is reported, whatever happens: answered, failed with its reason, or
stopped by RunPod, which then wants no report. A stream is pulled: while one POST is under way, what
the engine makes waits in it, and goes with the next. A job that comes again after it was answered
is reported again, not run again: what it streams would come twice.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from worker.api.routes import DEFAULT
from worker.entrypoints.job import JobFailed, Output, parts
from worker.entrypoints.queue.control_plane import ControlPlane
from worker.entrypoints.queue.jobs import Job
from worker.entrypoints.queue.results import Results
from worker.entrypoints.queue.retry import Undeliverable
from worker.errors import ServerError, WorkerError, visible
from worker.job_metrics import JobMetrics
from worker.metrics import Telemetry
from worker.service import Service

log = logging.getLogger(__name__)

Result = Mapping[str, Any]
"""What is reported of a job: its `output`, or its `error`."""


class JobRunner:
    """Runs the jobs of one worker. `flush`: seconds between the beginnings of two deliveries."""

    def __init__(
        self, service: Service, plane: ControlPlane, telemetry: Telemetry, flush: float
    ) -> None:
        self.ending = False
        """Whether the worker is out of time: a job that is cut off now is reported, too."""
        self.reporting: set[str] = set()
        """Ids of the jobs whose result is on its way."""
        self._service = service
        self._plane = plane
        self._telemetry = telemetry
        self._flush = flush
        self._results = Results()

    async def run(self, job: Job) -> None:
        """Answers a job and reports it. Cancelled, it stops the job at once."""
        metrics = JobMetrics()
        try:
            if (result := self._results.of(job.id)) is None:
                result = await self._answer(job, metrics)
            else:
                log.warning("job %s came again after its end", job.id)
        except asyncio.CancelledError:
            if not self.ending:
                log.info("job %s: stopped", job.id)
                raise
            ending = ServerError("The worker is ending; try again.", code="worker_ending")
            result = _failure(ending)
        except JobFailed as failure:
            result = failure.report
        except Exception as error:  # noqa: BLE001 - whatever happens, a job is reported
            result = _failure(visible(error, f"job {job.id}"))
        finally:
            self._telemetry.note_job(metrics)
        await self._report(job, result)
        log.info("job %s: %s %s", job.id, *_summary(result, metrics))

    async def _answer(self, job: Job, metrics: JobMetrics) -> Result:
        """What is reported when all parts of the job's answer have been delivered. Raises JobFailed
        and Undeliverable."""
        delivered: list[Output] = []
        async with aclosing(parts(self._service, job.input, metrics, job.problem)) as answer:
            async for part in answer:
                started = time.monotonic()
                key = str(len(delivered))
                delivered += [sent async for sent in self._plane.send_part(job, part, key)]
                metrics.note_delivery(time.monotonic() - started)
                await self._pause(started)
        return {"output": delivered}

    async def _report(self, job: Job, result: Result) -> None:
        self._results.keep(job.id, result)
        self.reporting.add(job.id)
        try:
            await self._plane.send_result(job, result)
        except Undeliverable:
            log.exception("job %s: its result could not be delivered", job.id)
        finally:
            self.reporting.discard(job.id)

    async def _pause(self, started: float) -> None:
        left = started + self._flush - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)


def _failure(error: WorkerError) -> Result:
    return JobFailed(DEFAULT.error(error)).report


def _summary(result: Result, metrics: JobMetrics) -> tuple[str, Mapping[str, Any]]:
    return "failed" if "error" in result else "done", metrics.to_object()

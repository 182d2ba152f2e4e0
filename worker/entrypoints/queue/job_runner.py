"""Runs one job of the queue: answers it, streams the answer as it is generated, and reports it.

Every job taken is reported, whatever happens, as completed or failed; the only exception is a job
that RunPod has stopped. The stream is pull-based: tokens generated while a POST is in flight are
sent with the next one. A job delivered again after completion is not run again, because its chunks
would be streamed twice; only its result is reported again.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

from worker.access_log import RequestLog
from worker.entrypoints.job import JobFailed, Output, Part, failure_report, parts
from worker.entrypoints.queue.control_plane import ControlPlane
from worker.entrypoints.queue.finished_jobs import FinishedJobs
from worker.entrypoints.queue.jobs import Job
from worker.entrypoints.queue.retry import Undeliverable
from worker.errors import AnswerTooLarge, ServerError, client_error
from worker.job_metrics import JobMetrics
from worker.metrics import Telemetry
from worker.service import Service

log = logging.getLogger(__name__)

_WORKER_ENDING = ServerError("The worker is shutting down; try again.", code="worker_ending")


class JobRunner:
    """Runs the jobs of one worker. `flush`: minimum seconds between the starts of two deliveries of
    a job."""

    def __init__(
        self,
        service: Service,
        plane: ControlPlane,
        telemetry: Telemetry,
        requests: RequestLog,
        flush: float,
    ) -> None:
        self.ending = False
        """Whether the shutdown time limit has passed. From then on, cancelled jobs are reported as
        failed."""
        self.reporting: set[str] = set()
        """Ids of the jobs whose result is being reported."""
        self._service = service
        self._plane = plane
        self._telemetry = telemetry
        self._requests = requests
        self._flush = flush
        self._finished = FinishedJobs()

    async def run(self, job: Job) -> None:
        """Answers a job and reports it. Cancellation stops the job at once."""
        metrics = JobMetrics()
        try:
            output = await self._output(job, metrics)
        except asyncio.CancelledError:
            if not self.ending:
                raise
            outcome, report = "failed", failure_report(_WORKER_ENDING)
        except JobFailed as failure:
            outcome, report = "failed", failure.report
        except Exception as error:  # noqa: BLE001 - every job must be reported
            seen = client_error(error, f"job {job.id}")
            metrics.note_answer(seen.status)
            outcome, report = "failed", failure_report(seen)
        else:
            self._finished.keep(job.id, output)
            outcome, report = "done", {"output": output}
        finally:
            self._telemetry.note_job(metrics)
        await self._report(job, report)
        if metrics.answered is not None:
            self._requests.note(job.id, *metrics.answered, metrics)
        else:  # delivered again, or ended by the shutdown
            log.info("job %s: %s", job.id, outcome)

    async def _output(self, job: Job, metrics: JobMetrics) -> Sequence[Output]:
        """Generates and delivers the answer; returns all delivered parts. Raises JobFailed and
        Undeliverable."""
        if (answered := self._finished.of(job.id)) is not None:
            log.warning(
                "job %s was delivered again after completion; reporting its result again", job.id
            )
            return answered
        delivered: list[Output] = []
        async with aclosing(parts(self._service, job.input, metrics, job.problem)) as answer:
            async for part in answer:
                started = time.monotonic()
                try:
                    await self._deliver(job, part, delivered)
                except AnswerTooLarge as error:  # the error is the stream's last part
                    await self._deliver(job, await answer.athrow(error), delivered)
                metrics.note_delivery(time.monotonic() - started)
                await self._pause(started)
        return delivered

    async def _deliver(self, job: Job, part: Part, delivered: list[Output]) -> None:
        key = str(len(delivered))
        delivered += [sent async for sent in self._plane.send_part(job, part, key)]

    async def _report(self, job: Job, report: Mapping[str, Any]) -> None:
        self.reporting.add(job.id)
        try:
            await self._plane.send_result(job, report)
        except Undeliverable:
            log.exception("job %s: its result could not be delivered", job.id)
        finally:
            self.reporting.discard(job.id)

    async def _pause(self, started: float) -> None:
        left = started + self._flush - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)

"""Client of RunPod's control plane. Only this module uses the SDK's internals.

Rule: it uses only the SDK's URLs, its HTTP session, and its list of jobs in progress, which the
pings include. Source: runpod 1.12.0, serverless/modules/.
"""

import asyncio
import functools
import json
import logging
import multiprocessing
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
from runpod.http_client import AsyncClientSession
from runpod.serverless import worker as sdk
from runpod.serverless.modules import rp_http, rp_job, rp_ping, rp_scale
from runpod.serverless.modules.rp_ping import Heartbeat
from runpod.serverless.modules.worker_state import JobsProgress

from worker.entrypoints.job import Output, Part, failure_report
from worker.entrypoints.queue import retry
from worker.entrypoints.queue.jobs import Job, parse_jobs
from worker.entrypoints.queue.retry import Reply, TooLarge, deliver
from worker.errors import AnswerTooLarge
from worker.json_depth import Json
from worker.metrics import Telemetry

log = logging.getLogger(__name__)


MAX_CHUNK_BYTES = 1_000_000
"""RunPod accepts chunks of up to 1 MB."""
_POST = aiohttp.ClientTimeout(total=retry.POST_TIMEOUT_SECONDS)
_PING = "runpod-ping"
_HEADERS = {"charset": "utf-8", "Content-Type": "application/x-www-form-urlencoded"}


class ControlPlane:
    """Takes jobs, polls for stopped jobs, and delivers chunks and results."""

    def __init__(self, session: aiohttp.ClientSession, telemetry: Telemetry) -> None:
        self._session = session
        self._telemetry = telemetry
        self.receiving = False
        """Whether a response to `take` is being received: this worker owns its jobs already."""

    async def take(self, count: int) -> list[Job]:
        """Long-polls for up to `count` jobs. Raises aiohttp.ClientError."""
        async with self._session.get(rp_job._job_get_url(count), timeout=_poll()) as response:
            if response.status in (204, 400):  # 400 while FlashBoot sleeps
                return []
            if response.status == 429:
                # `Retry-After: 0` counts as none: polls at once would be a busy loop
                wait = _retry_after(response) or retry.RATE_LIMIT_SECONDS
                await asyncio.sleep(min(wait, retry.MAX_RATE_LIMIT_SECONDS))
                return []
            response.raise_for_status()
            self.receiving = True
            try:
                return parse_jobs(await response.read())
            finally:
                self.receiving = False

    async def stopped_jobs(self) -> list[str]:
        """Long-polls for the IDs of jobs to stop. Raises aiohttp.ClientError."""
        url = rp_job._job_stop_url()
        if url is None:
            await asyncio.sleep(retry.POLL_TIMEOUT_SECONDS)
            return []
        async with self._session.get(url, timeout=_poll()) as response:
            response.raise_for_status()
            value = {} if response.status == 204 else await response.json()
            return [i for i in value.get("jobsToStop", ()) if isinstance(i, str)]

    async def send_part(self, job: Job, part: Part, key: str) -> AsyncGenerator[Output]:
        """Delivers one part of an answer in as few POSTs as possible; yields each once delivered.

        A whole answer that does not fit into a chunk is not sent as one: it is in the job's result,
        as with the SDK, whose POST of it RunPod refuses. `key` identifies the part within the job,
        for idempotent retries. Raises Undeliverable, and AnswerTooLarge for a part of a stream.
        """
        item = part.encoded()
        body = _body({"output": item})
        if len(body) <= MAX_CHUNK_BYTES:
            try:
                await self._post(rp_http.JOB_STREAM_URL, job, body, key)
            except TooLarge:
                log.warning("job %s: a chunk of %d bytes was refused", job.id, len(body))
            else:
                yield item
                return
        if part.is_all:
            yield item
            return
        smaller = part.smaller()
        if smaller is None:
            raise AnswerTooLarge(
                "Part of the answer exceeds the size limit of RunPod's queue. Ask for less at a "
                "time, without stream, or over HTTP."
            )
        for number, piece in enumerate(smaller):
            async for sent in self.send_part(job, piece, f"{key}.{number}"):
                yield sent

    async def send_result(self, job: Job, result: Json) -> None:
        """Reports a job as completed or failed. Raises Undeliverable."""
        url = rp_http.JOB_DONE_URL
        try:
            await self._post(
                url, job, _body(result), "done", retry.RESULT_TIMEOUT_SECONDS, stream=True
            )
        except TooLarge as error:
            body = _body(failure_report(error))
            await self._post(url, job, body, "done", retry.RESULT_TIMEOUT_SECONDS, stream=True)

    async def _post(
        self,
        template: str,
        job: Job,
        body: bytes,
        key: str,
        timeout_seconds: float = retry.PART_TIMEOUT_SECONDS,
        *,
        stream: bool = False,
    ) -> None:
        url = f"{template.replace('$ID', job.id)}&isStream={'true' if stream else 'false'}"
        idempotency_key = f"{job.take_id}-{key}"
        headers = {**_HEADERS, "X-Request-ID": job.id, "Idempotency-Key": idempotency_key}

        async def post() -> Reply:
            async with self._session.post(
                url, data=body, headers=headers, timeout=_POST
            ) as response:
                await response.read()
                return Reply(response.status, _retry_after(response))

        started = time.monotonic()
        tries = await deliver(post, timeout_seconds)
        self._telemetry.note_post(time.monotonic() - started, tries)
        if tries > 1:
            log.warning("job %s: delivered after %d attempts", job.id, tries)


@asynccontextmanager
async def open_control_plane(telemetry: Telemetry) -> AsyncGenerator[ControlPlane]:
    async with AsyncClientSession() as session:
        yield ControlPlane(session, telemetry)


def mark_in_progress(job_id: str, *, ended: bool = False) -> None:
    """Adds a job to the list of jobs in progress that pings report, or removes it."""
    (JobsProgress().remove if ended else JobsProgress().add)(job_id)


def replace_job_scaler(scaler: object) -> None:
    """Makes the SDK run `scaler.start()` instead of its JobScaler, and names its ping process."""
    rp_scale.JobScaler = lambda _config: scaler
    rp_ping.Process = functools.partial(multiprocessing.Process, name=_PING)


def keep_pinging() -> None:
    """Restarts the SDK's ping process if it has died."""
    alive = any(child.name == _PING for child in multiprocessing.active_children())
    if Heartbeat._process_started and not alive:
        log.error("the ping process has died; restarting it")
        Heartbeat._process_started = False
        sdk.heartbeat.start_ping(JobsProgress()._mirror)


def _poll() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=retry.POLL_TIMEOUT_SECONDS)


def _body(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """The Retry-After header in seconds, or None. Dates, which are allowed too, are ignored."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None

"""RunPod's control plane as this worker sees it: the one place that knows its URLs and the SDK.

Rule: of the SDK, only what says where things are is used: its URLs, its session, its record of jobs
in progress (which the pings carry). Source: runpod 1.12.0, serverless/modules/.
"""

import asyncio
import functools
import json
import logging
import multiprocessing
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from runpod.http_client import AsyncClientSession
from runpod.serverless import worker as sdk
from runpod.serverless.modules import rp_http, rp_job, rp_ping, rp_scale
from runpod.serverless.modules.rp_ping import Heartbeat
from runpod.serverless.modules.worker_state import JobsProgress

from worker.api.routes import DEFAULT
from worker.entrypoints.job import JobFailed, Output, Part
from worker.entrypoints.queue import retry
from worker.entrypoints.queue.jobs import Job, jobs_in
from worker.entrypoints.queue.retry import Reply, TooLarge, deliver
from worker.metrics import Telemetry

log = logging.getLogger(__name__)

Json = Any  # A JSON value of an answer.

CHUNK_BYTES = 1_000_000
"""RunPod takes 1 MB a chunk."""
_POST = aiohttp.ClientTimeout(total=retry.POST_SECONDS)
_PING = "runpod-ping"
_HEADERS = {"charset": "utf-8", "Content-Type": "application/x-www-form-urlencoded"}


class ControlPlane:
    """Takes jobs, hears of stopped ones, delivers chunks and results."""

    def __init__(self, session: aiohttp.ClientSession, telemetry: Telemetry) -> None:
        self._session = session
        self._telemetry = telemetry
        self.receiving = False
        """Whether a reply to `take` has begun to come: from then on, its jobs are this worker's."""

    async def take(self, count: int) -> list[Job]:
        """Up to `count` jobs; none after a long poll without any. Raises aiohttp.ClientError."""
        async with self._session.get(rp_job._job_get_url(count), timeout=_poll()) as response:
            if response.status in (204, 400):  # 400 while FlashBoot sleeps
                return []
            if response.status == 429:
                wait = _retry_after(response) or retry.RATE_LIMIT_SECONDS
                await asyncio.sleep(min(wait, retry.LONGEST_RATE_LIMIT_SECONDS))
                return []
            response.raise_for_status()
            self.receiving = True
            try:
                return jobs_in(await response.read())
            finally:
                self.receiving = False

    async def stopped(self) -> list[str]:
        """Ids of jobs to stop, after a long poll. Raises aiohttp.ClientError."""
        url = rp_job._job_stop_url()
        if url is None:
            await asyncio.sleep(retry.LONGEST_POLL_SECONDS)
            return []
        async with self._session.get(url, timeout=_poll()) as response:
            response.raise_for_status()
            value = {} if response.status == 204 else await response.json()
            return [i for i in value.get("jobsToStop", ()) if isinstance(i, str)]

    async def send_part(self, job: Job, part: Part, key: str) -> AsyncGenerator[Output]:
        """Delivers one part of an answer, in as few POSTs as fit; yields each as it has arrived.

        `key` tells it from the job's others, and is the same when it is sent again. Raises
        Undeliverable.
        """
        item = part.encoded()
        body = _body({"output": item})
        if len(body) <= CHUNK_BYTES:
            try:
                await self._post(rp_http.JOB_STREAM_URL, job, body, key)
            except TooLarge:
                log.warning("job %s: a chunk of %d bytes is split", job.id, len(body))
            else:
                yield item
                return
        halves = part.halves()
        if halves is None:
            raise TooLarge("A part of the answer is too large for RunPod.")
        for number, half in enumerate(halves):
            async for sent in self.send_part(job, half, f"{key}.{number}"):
                yield sent

    async def send_result(self, job: Job, result: Json) -> None:
        """Reports a job as done or failed. Raises Undeliverable."""
        url = rp_http.JOB_DONE_URL
        try:
            await self._post(url, job, _body(result), "done", retry.RESULT_SECONDS, stream=True)
        except TooLarge as error:
            body = _body(JobFailed(DEFAULT.error(error)).report)
            await self._post(url, job, body, "done", retry.RESULT_SECONDS, stream=True)

    async def _post(
        self,
        template: str,
        job: Job,
        body: bytes,
        key: str,
        patience: float = retry.PART_SECONDS,
        *,
        stream: bool = False,
    ) -> None:
        url = f"{template.replace('$ID', job.id)}&isStream={'true' if stream else 'false'}"
        idempotency_key = f"{job.delivery}-{key}"
        headers = {**_HEADERS, "X-Request-ID": job.id, "Idempotency-Key": idempotency_key}

        async def post() -> Reply:
            async with self._session.post(
                url, data=body, headers=headers, timeout=_POST
            ) as response:
                await response.read()
                return Reply(response.status, _retry_after(response))

        started = time.monotonic()
        tries = await deliver(post, patience)
        self._telemetry.note_post(time.monotonic() - started, tries)
        if tries > 1:
            log.warning("job %s: delivered at try %d", job.id, tries)


@asynccontextmanager
async def connected(telemetry: Telemetry) -> AsyncGenerator[ControlPlane]:
    async with AsyncClientSession() as session:
        yield ControlPlane(session, telemetry)


def in_progress(job_id: str, *, ended: bool = False) -> None:
    """Has the pings say that a job is in progress, or no more."""
    (JobsProgress().remove if ended else JobsProgress().add)(job_id)


def take_the_place_of_the_scaler(scaler: object) -> None:
    """Has the SDK run `scaler.start()` where it would run a JobScaler, beside pings with a name."""
    rp_scale.JobScaler = lambda _config: scaler
    rp_ping.Process = functools.partial(multiprocessing.Process, name=_PING)


def keep_pinging() -> None:
    """Starts the SDK's ping process anew if it has died."""
    alive = any(child.name == _PING for child in multiprocessing.active_children())
    if Heartbeat._process_started and not alive:
        log.error("the ping process has died; starting it anew")
        Heartbeat._process_started = False
        sdk.heartbeat.start_ping(JobsProgress()._mirror)


def _poll() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=retry.LONGEST_POLL_SECONDS)


def _body(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """In seconds; a date, which is allowed too, counts as nothing said."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None

"""Webhooks: a job's result, POSTed to the URL that its client gave.

Rule: a URL gets three tries in all; each is an entry in the job's timeline.
Source: https://docs.runpod.io/serverless/endpoints/send-requests, "Webhook notifications"
"""

import asyncio
import json

import httpx

from emulator import views
from emulator.clock import now
from emulator.job import Job

TRIES = 3
PAUSE_S = 1.0
TIMEOUT_S = 10


class Webhooks:
    """Sends results in the background."""

    def __init__(self) -> None:
        self._sending: set[asyncio.Task[None]] = set()

    def send(self, job: Job) -> None:
        """Starts to tell the job's webhook, if it has one, how the job ended."""
        if job.webhook is None:
            return
        task = asyncio.create_task(_send(job, job.webhook))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        """Gives up on what has not been sent."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)


async def _send(job: Job, url: str) -> None:
    body, headers = json.dumps(views.status(job)), {"Content-Type": "application/json"}
    async with httpx.AsyncClient(timeout=TIMEOUT_S, headers=headers) as client:
        for tried in range(TRIES):
            if tried:
                await asyncio.sleep(PAUSE_S)
            try:
                answer = await client.post(url, content=body)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                job.note("webhook", now(), type(error).__name__)
                continue
            job.note("webhook", now(), str(answer.status_code))
            if answer.is_success:
                return

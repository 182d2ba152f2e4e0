"""Webhooks: POST a job's result to the URL that its client gave.

Rule: three attempts in all; each is an entry in the job's timeline.
Source: https://docs.runpod.io/serverless/endpoints/send-requests, "Webhook notifications"
"""

import asyncio
import json

import httpx

from emulator import views
from emulator.clock import now
from emulator.job import Job

ATTEMPTS = 3
RETRY_DELAY_S = 1.0
TIMEOUT_S = 10


class Webhooks:
    """Sends results in the background."""

    def __init__(self) -> None:
        self._sending: set[asyncio.Task[None]] = set()

    def send(self, job: Job) -> None:
        """Starts sending the job's result to its webhook, if it has one."""
        if job.webhook is None:
            return
        task = asyncio.create_task(_send(job, job.webhook))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        """Cancels all webhooks that have not been sent yet."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)


async def _send(job: Job, url: str) -> None:
    body, headers = json.dumps(views.status(job)), {"Content-Type": "application/json"}
    async with httpx.AsyncClient(timeout=TIMEOUT_S, headers=headers) as client:
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(RETRY_DELAY_S)
            try:
                answer = await client.post(url, content=body)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                job.note("webhook", now(), type(error).__name__)
                continue
            job.note("webhook", now(), str(answer.status_code))
            if answer.is_success:
                return

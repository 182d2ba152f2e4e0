"""Retries of requests to RunPod: a POST is retried until it succeeds, or its job fails.

Rule: nothing is dropped silently. Transient failures (5xx, 408, 425, 429, a lost connection) are
retried after Retry-After or a backoff; the caller must split what is too large (413); everything
else fails at once. All timeouts and delays for RunPod are defined here.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import aiohttp

from worker.errors import ServerError

POLL_TIMEOUT_SECONDS = 90.0
"""Timeout of a long poll for jobs or stopped jobs. RunPod answers an idle poll sooner."""
POST_TIMEOUT_SECONDS = 30.0
"""Timeout of one POST attempt."""
PART_TIMEOUT_SECONDS = 60.0
"""Time limit for all attempts to deliver one part; by then, a streaming client has given up."""
RESULT_TIMEOUT_SECONDS = 300.0
"""Timeout of all attempts to deliver a job's result: no client is waiting on a stream, and the job
is lost without it."""
INITIAL_BACKOFF_SECONDS = 0.05
"""Short, for a connection that was merely stale."""
MAX_BACKOFF_SECONDS = 5.0
POLL_BACKOFF_SECONDS = 1.0
"""Delay after a failed poll."""
RATE_LIMIT_SECONDS, MAX_RATE_LIMIT_SECONDS = 5.0, 30.0
"""Delay after a poll with status 429: the default without Retry-After, and the maximum."""
STOPPED_POLL_INTERVAL_SECONDS = 0.1
"""Delay between polls for stopped jobs, as a server may not support long polling."""
_RETRIABLE = {408, 425, 429}


class Undeliverable(ServerError):
    """RunPod did not accept a job's output."""

    code = "delivery_failed"


class TooLarge(Undeliverable):
    """RunPod does not accept a single delivery of this size (413)."""


class Reply(NamedTuple):
    """The HTTP status of a POST, and its Retry-After in seconds, if any."""

    status: int
    retry_after: float | None


async def deliver(
    post: Callable[[], Awaitable[Reply]], timeout_seconds: float = PART_TIMEOUT_SECONDS
) -> int:
    """Calls `post` until it succeeds; returns the number of attempts.

    Network errors of `post` are retried. Raises TooLarge, or Undeliverable on a permanent failure
    or after `timeout_seconds`.
    """
    deadline = time.monotonic() + timeout_seconds
    for attempt, backoff in enumerate(_backoffs(), start=1):
        reply = await _try(post)
        if reply is not None and reply.status < 400:
            return attempt
        if reply is not None and reply.status == 413:
            raise TooLarge("The answer exceeds RunPod's size limit.")
        if reply is not None and reply.status < 500 and reply.status not in _RETRIABLE:
            raise Undeliverable(f"RunPod rejected the answer with status {reply.status}.")
        wait = backoff if reply is None or reply.retry_after is None else reply.retry_after
        if time.monotonic() + wait > deadline:
            break
        await asyncio.sleep(wait)
    raise Undeliverable("The answer could not be delivered to RunPod within the retry limit.")


async def _try(post: Callable[[], Awaitable[Reply]]) -> Reply | None:
    try:
        return await post()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


def _backoffs() -> Iterator[float]:
    """Seconds between attempts, doubling each time, with a jitter of 20%."""
    backoff = INITIAL_BACKOFF_SECONDS
    while True:
        yield backoff * random.uniform(0.8, 1.2)  # noqa: S311
        backoff = min(backoff * 2, MAX_BACKOFF_SECONDS)

"""Retries towards RunPod: a POST is repeated until it has arrived, or its job fails.

Rule: nothing is dropped in silence. What may succeed later (5xx, 408, 429, a lost connection) is
sent again, after what Retry-After asks or a backoff; what is too large (413) is for the caller to
split; anything else fails at once. Every time and pause towards RunPod stands here.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import aiohttp

from worker.errors import ServerError

LONGEST_POLL_SECONDS = 90.0
"""Of a long poll for jobs, or for stopped ones: RunPod answers an idle one before."""
POST_SECONDS = 30.0
"""For one try of a POST."""
PART_SECONDS = 60.0
"""For all tries of a part of an answer: a client that streams has given up by then."""
RESULT_SECONDS = 300.0
"""For all tries of a job's result: nobody waits for a stream any more, and without it the job is
lost."""
FIRST_BACKOFF_SECONDS = 0.05
"""For a connection that was merely stale."""
LONGEST_BACKOFF_SECONDS = 5.0
POLL_BACKOFF_SECONDS = 1.0
"""After a poll that failed."""
RATE_LIMIT_SECONDS, LONGEST_RATE_LIMIT_SECONDS = 5.0, 30.0
"""After a poll that was refused with 429: where it says nothing, and at most."""
STOPPED_PAUSE_SECONDS = 0.1
"""Between polls for stopped jobs: a server may not hold the poll open."""
_RETRIABLE = {408, 425, 429}


class Undeliverable(ServerError):
    """RunPod did not take what the job made."""

    code = "delivery_failed"


class TooLarge(Undeliverable):
    """RunPod takes no single delivery of this size (413)."""


class Reply(NamedTuple):
    """The HTTP status of a POST, and the seconds that Retry-After asks to wait, if it does."""

    status: int
    retry_after: float | None


async def deliver(post: Callable[[], Awaitable[Reply]], patience: float = PART_SECONDS) -> int:
    """Calls `post` until it succeeds; how often that was. Raises Undeliverable, TooLarge.

    Network errors of `post` count as failures that may pass.
    """
    deadline = time.monotonic() + patience
    for attempt, backoff in enumerate(_backoffs(), start=1):
        reply = await _try(post)
        if reply is not None and reply.status < 400:
            return attempt
        if reply is not None and reply.status == 413:
            raise TooLarge("The answer is too large for RunPod.")
        if reply is not None and reply.status < 500 and reply.status not in _RETRIABLE:
            raise Undeliverable(f"RunPod refused the answer with status {reply.status}.")
        wait = backoff if reply is None or reply.retry_after is None else reply.retry_after
        if time.monotonic() + wait > deadline:
            break
        await asyncio.sleep(wait)
    raise Undeliverable("RunPod could not be reached to deliver the answer.")


async def _try(post: Callable[[], Awaitable[Reply]]) -> Reply | None:
    try:
        return await post()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


def _backoffs() -> Iterator[float]:
    """Seconds between tries, twice as many each time; a fifth more or less spreads the tries."""
    backoff = FIRST_BACKOFF_SECONDS
    while True:
        yield backoff * random.uniform(0.8, 1.2)  # noqa: S311
        backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)

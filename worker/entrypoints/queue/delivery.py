"""Delivery of what a job makes: a POST is repeated until it has arrived, or its job fails.

Rule: nothing is dropped in silence. What may succeed later (5xx, 408, 429, a lost connection) is
sent again, after what Retry-After asks or a growing pause; what is too large (413) is for the
caller to split; anything else fails at once.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import aiohttp

from worker.errors import ServerError

PATIENCE = 60.0
"""Seconds after which a chunk counts as undeliverable."""
LONGEST_PAUSE = 5.0
_LATER = {408, 425, 429}


class Undeliverable(ServerError):
    """RunPod did not take what the job made."""

    code = "delivery_failed"


class TooLarge(Undeliverable):
    """RunPod takes no single delivery of this size (413)."""


class Reply(NamedTuple):
    """The HTTP status of a POST, and the seconds that Retry-After asks to wait, if it does."""

    status: int
    retry_after: float | None


async def deliver(post: Callable[[], Awaitable[Reply]], patience: float = PATIENCE) -> int:
    """Calls `post` until it succeeds; how often that was. Raises Undeliverable, TooLarge.

    Network errors of `post` count as failures that may pass.
    """
    deadline = time.monotonic() + patience
    for attempt, pause in enumerate(_pauses(), start=1):
        reply = await _try(post)
        if reply is not None and reply.status < 400:
            return attempt
        if reply is not None and reply.status == 413:
            raise TooLarge("The answer is too large for RunPod.")
        if reply is not None and reply.status < 500 and reply.status not in _LATER:
            raise Undeliverable(f"RunPod refused the answer with status {reply.status}.")
        wait = pause if reply is None or reply.retry_after is None else reply.retry_after
        if time.monotonic() + wait > deadline:
            break
        await asyncio.sleep(wait)
    raise Undeliverable("RunPod could not be reached to deliver the answer.")


async def _try(post: Callable[[], Awaitable[Reply]]) -> Reply | None:
    try:
        return await post()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


def _pauses() -> Iterator[float]:
    """Seconds between tries: short at first, for a connection that was merely stale."""
    pause = 0.05
    while True:
        yield pause * random.uniform(0.8, 1.2)  # noqa: S311 - it only spreads the tries
        pause = min(pause * 2, LONGEST_PAUSE)

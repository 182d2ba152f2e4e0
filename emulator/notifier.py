"""Wakes waiting requests when something changes, by topic.

Rule: a notification carries no data; a woken waiter checks again. A notification between a check
and a wait must not be missed, so there is no `await` between the two. Waiters are woken in FIFO
order.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class Notifier:
    """Notified by the endpoint; awaited by long polls and streams."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, dict[asyncio.Future[None], None]] = defaultdict(dict)
        self.closed = False

    def notify(self, topic: str) -> None:
        """Wakes all waiters of a topic."""
        for waiter in self._waiting.pop(topic, ()):
            if not waiter.done():
                waiter.set_result(None)

    def close(self) -> None:
        """Ends all current and future waits: the server is shutting down."""
        self.closed = True
        for topic in list(self._waiting):
            self.notify(topic)

    async def wait_until(
        self, check: Callable[[], T | None], topic: str, seconds: float
    ) -> T | None:
        """The first result of `check` that is not None; None after `seconds`.

        `check` runs at once, and again after each notification of `topic`.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (found := check()) is None and not self.closed:
                    await self._next_notification(topic)
                return found
        return check()

    async def _next_notification(self, topic: str) -> None:
        waiter = asyncio.get_running_loop().create_future()
        waiters = self._waiting[topic]
        waiters[waiter] = None
        try:
            await waiter
        finally:
            waiters.pop(waiter, None)
            if not waiters and self._waiting.get(topic) is waiters:
                del self._waiting[topic]

"""How waiting requests learn that something changed: bells, one for each topic.

Rule: a bell carries no news. Whoever waits looks again, so no ring between a look and a wait may
be missed: both happen without an `await` in between. Who waits longest looks first.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class Bells:
    """Rung by the endpoint, waited for by long polls and streams."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, dict[asyncio.Future[None], None]] = defaultdict(dict)
        self.closed = False

    def ring(self, topic: str) -> None:
        """Wakes all who wait for a topic."""
        for waiter in self._waiting.pop(topic, ()):
            if not waiter.done():
                waiter.set_result(None)

    def close(self) -> None:
        """Ends every wait, now and from now on: the server is shutting down."""
        self.closed = True
        for topic in list(self._waiting):
            self.ring(topic)

    async def until(self, look: Callable[[], T | None], topic: str, seconds: float) -> T | None:
        """What `look` finds, as soon as it finds something; None when the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (found := look()) is None and not self.closed:
                    await self._rung(topic)
                return found
        return look()

    async def _rung(self, topic: str) -> None:
        waiter = asyncio.get_running_loop().create_future()
        waiters = self._waiting[topic]
        waiters[waiter] = None
        try:
            await waiter
        finally:
            waiters.pop(waiter, None)
            if not waiters and self._waiting.get(topic) is waiters:
                del self._waiting[topic]

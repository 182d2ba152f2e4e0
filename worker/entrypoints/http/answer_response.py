"""Sends an answer to an HTTP client: one JSON object, or a stream of server-sent events.

Rules: the next batch is requested once the previous one has been sent, so the engine merges the
steps generated while the socket is full. If the client disconnects, or reads nothing for
STALL_TIMEOUT_SECONDS, the generation is aborted. Nothing is sent before the first batch, so that an
error can still be an HTTP status, except for a comment every KEEP_ALIVE_SECONDS, for proxies that
close idle connections.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AbstractContextManager, aclosing
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from worker.job_metrics import JobMetrics
from worker.service import Batch, Exchange

KEEP_ALIVE_SECONDS = 15.0
STALL_TIMEOUT_SECONDS = 60.0

_SSE_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # keeps nginx from buffering the events
]


class AnswerResponse(Response):
    """Sends an exchange's answer: as events if it is streamed, else as one object.

    `running` is entered while the answer is generated and sent.
    """

    def __init__(
        self, exchange: Exchange, metrics: JobMetrics, running: AbstractContextManager[None]
    ) -> None:
        super().__init__()
        self._running = running
        self._dialect = exchange.dialect
        self._batches = exchange.answer(metrics)
        self._streamed = exchange.streams
        self._blocked_since: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = self._send_events(send) if self._streamed else self._send_object(send)
        with self._running:
            if not await self._unless_disconnected(receive, sending):
                scope["extensions"]["connection"]["abort"]()

    async def _send_object(self, send: Send) -> None:
        async with aclosing(self._batches) as batches:
            ((item,),) = [batch async for batch in batches]
        body = orjson.dumps(item)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send_body(send, body, more=False)

    async def _send_events(self, send: Send) -> None:
        async with aclosing(self._batches) as batches:
            batch = await self._first(batches, send)
            await self._send_body(send, self._events(batch))
            async for batch in batches:
                await self._send_body(send, self._events(batch))
        await self._send_body(send, self._dialect.end.encode(), more=False)

    def _events(self, batch: Batch) -> bytes:
        return "".join(map(self._dialect.event, batch)).encode()

    async def _first(self, batches: AsyncGenerator[Batch], send: Send) -> Batch:
        """Returns the first batch. Starts the response then, or earlier if a comment is due."""
        start = {"type": "http.response.start", "status": 200, "headers": _SSE_HEADERS}
        first = asyncio.ensure_future(anext(batches))
        try:
            await asyncio.wait({first}, timeout=KEEP_ALIVE_SECONDS)
            if first.done():
                first.result()  # raises an error before anything is sent
            await send(start)
            while not first.done():
                await self._send_body(send, b": keep-alive\n\n")
                await asyncio.wait({first}, timeout=KEEP_ALIVE_SECONDS)
            return first.result()
        finally:
            first.cancel()
            await asyncio.wait({first})

    async def _send_body(self, send: Send, body: bytes, *, more: bool = True) -> None:
        self._blocked_since = asyncio.get_running_loop().time()
        await send({"type": "http.response.body", "body": body, "more_body": more})
        self._blocked_since = None

    async def _unless_disconnected(
        self, receive: Receive, sending: Coroutine[Any, Any, None]
    ) -> bool:
        """Returns whether everything was sent. Cancels sending on a disconnect or a stall."""
        task = asyncio.ensure_future(sending)
        disconnect = asyncio.ensure_future(_disconnected(receive))
        try:
            while not (task.done() or disconnect.done() or self._stalled()):
                await asyncio.wait(
                    {task, disconnect},
                    timeout=STALL_TIMEOUT_SECONDS / 4,
                    return_when="FIRST_COMPLETED",
                )
            if task.done():
                task.result()
            return task.done()
        finally:
            for each in (task, disconnect):
                each.cancel()
            await asyncio.wait({task, disconnect})

    def _stalled(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self._blocked_since is not None and now - self._blocked_since > STALL_TIMEOUT_SECONDS


async def _disconnected(receive: Receive) -> None:
    """Returns when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass

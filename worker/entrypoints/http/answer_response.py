"""Sends an answer to an HTTP client: one JSON object, or a stream of server-sent events.

Rules: the next batch is requested once the previous one has been sent, so the engine merges the
steps generated while the socket is full. If the client disconnects, or reads nothing for
STALL_TIMEOUT_SECONDS, the generation is aborted. Nothing is sent before the first batch, so that an
error can still be an HTTP status; but after KEEP_ALIVE_SECONDS without output (also before the
first batch), a keep-alive is sent (the API's own, or an SSE comment), because proxies and clients
drop idle connections.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractContextManager, aclosing, suppress
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from worker.entrypoints.http.protocol import ClientConnection
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
        self._exchange = exchange
        self._batches = exchange.answer(metrics)
        self._started = False
        self._last_sent = 0.0
        self._blocked_since: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = ClientConnection.of(scope)
        streams = self._exchange.streams
        sending = self._send_events(send, connection) if streams else self._send_object(send)
        with self._running:
            if not await self._unless_disconnected(receive, sending):
                connection.abort()

    async def _send_object(self, send: Send) -> None:
        async with aclosing(self._batches) as batches:
            ((item,),) = [batch async for batch in batches]
        body = orjson.dumps(item)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        self._blocked_since = asyncio.get_running_loop().time()
        await send({"type": "http.response.body", "body": body})
        self._blocked_since = None

    async def _send_events(self, send: Send, connection: ClientConnection) -> None:
        if connection.is_full:  # of an earlier answer; from here on, starting never waits
            await self._room(connection)
        keep_alive = asyncio.create_task(self._keep_alive(send, connection))
        try:
            async with aclosing(self._batches) as batches:
                async for batch in batches:
                    await self._start(send)
                    self._write(connection, batch)
                    if connection.is_full:
                        await self._room(connection)
            await self._start(send)
            await send({"type": "http.response.body", "body": self._exchange.dialect.end.encode()})
        finally:
            keep_alive.cancel()
            with suppress(asyncio.CancelledError):
                await keep_alive

    async def _keep_alive(self, send: Send, connection: ClientConnection) -> None:
        """Sends a keep-alive after every KEEP_ALIVE_SECONDS without output, also before the first
        batch. It is made when it is written, so that its sequence number is correct."""
        loop = asyncio.get_running_loop()
        self._last_sent = loop.time()
        while True:
            await asyncio.sleep(self._last_sent + KEEP_ALIVE_SECONDS - loop.time())
            if loop.time() - self._last_sent < KEEP_ALIVE_SECONDS:
                continue
            if connection.is_full:  # what waits in it keeps the connection alive
                self._last_sent = loop.time()
                continue
            await self._start(send)
            self._write(connection, self._exchange.keep_alive(), idle=b": keep-alive\n\n")

    async def _start(self, send: Send) -> None:
        if not self._started:
            self._started = True
            await send({"type": "http.response.start", "status": 200, "headers": _SSE_HEADERS})

    def _write(self, connection: ClientConnection, batch: Batch, *, idle: bytes = b"") -> None:
        """Writes a batch's events, or `idle` if it has none."""
        events = "".join(map(self._exchange.dialect.event, batch)).encode() or idle
        if events:
            connection.write_chunk(events)
        self._last_sent = asyncio.get_running_loop().time()

    async def _room(self, connection: ClientConnection) -> None:
        self._blocked_since = asyncio.get_running_loop().time()
        await connection.drained()
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

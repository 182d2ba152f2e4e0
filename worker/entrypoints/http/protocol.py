"""uvicorn's HTTP protocol, with limits on the size and the duration of a request's head.

Rule: a connection that exceeds the limits is closed, whatever it sends. Until then at most one
request's head is buffered. llhttp itself limits neither size nor time.
"""

import asyncio
import json
from typing import Any, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from worker.api.routes import DEFAULT
from worker.errors import BadRequest, HeadersTooLarge, WorkerError

MAX_HEAD_BYTES = 64 * 1024
"""Maximum size of the request line and headers."""
MAX_FRAMING_BYTES = 2**20
"""Maximum size of everything except the body: the head, chunk sizes, trailers."""
HEAD_TIMEOUT_SECONDS = 30.0
"""Maximum time from a new connection, or the end of a response, to the next complete head."""


class ClientConnection:
    """The connection of a request, for an application: `ClientConnection.of(scope)`.

    A chunked response may be written to it directly between its head and its last message: as ASGI
    messages, chunks would pass through five coroutines each. `Any` stands for uvicorn's flow
    control.
    """

    def __init__(self, transport: asyncio.Transport, flow: Any) -> None:
        self._transport = transport
        self._flow = flow

    @classmethod
    def of(cls, scope: Scope) -> "ClientConnection":
        return scope["extensions"]["connection"]["client"]

    @property
    def is_closing(self) -> bool:
        """Whether either side is closing it, or has."""
        return self._transport.is_closing()

    @property
    def is_full(self) -> bool:
        """Whether the client reads more slowly than is written."""
        return self._flow.write_paused

    def write_chunk(self, data: bytes) -> None:
        """Writes one chunk, which must not be empty. Does nothing if the client has gone."""
        if not self._transport.is_closing():
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def drained(self) -> None:
        """Waits until it is no longer full; also returns when the connection is lost."""
        await self._flow.drain()

    def abort(self) -> None:
        """Drops the connection at once."""
        self._transport.abort()


class BoundedProtocol(HttpToolsProtocol):
    """One connection, which applications find in the scope of each request."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._framing = 0  # bytes of the current message that were not body
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._framing += len(data)
        super().data_received(data)
        bound = MAX_HEAD_BYTES if self._in_head else MAX_FRAMING_BYTES
        if self._framing > bound and not self.transport.is_closing():
            self._reject(
                HeadersTooLarge(
                    f"The request headers must not be larger than {MAX_HEAD_BYTES // 1024} KB."
                )
            )

    def on_message_begin(self) -> None:
        if self._deadline is None:
            self._await_head()
        super().on_message_begin()
        connection = ClientConnection(self.transport, self.flow)
        self.scope["extensions"] = {"connection": {"client": connection}}

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._cancel_deadline()
        if self._answering():
            self.transport.abort()  # clients do not pipeline, and an abandoned request would run on
            return
        super().on_headers_complete()

    def _answering(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        return cycle is not None and not cycle.response_complete

    def on_body(self, body: bytes) -> None:
        self._framing -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head, self._framing = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._reject(BadRequest(msg))

    def _reject(self, error: WorkerError) -> None:
        """Sends an error for an invalid request and closes the connection."""
        body = json.dumps(DEFAULT.error(error)).encode()
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        self.transport.write(STATUS_LINE[error.status] + head % len(body) + body)
        self.transport.close()

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_TIMEOUT_SECONDS, self.transport.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

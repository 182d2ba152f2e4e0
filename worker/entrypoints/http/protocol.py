"""uvicorn's HTTP protocol with bounds: how much may be sent besides a body, and how slowly.

Rule: a connection that has not said what it wants within bounds is closed, whatever it sends; all
that is held of it until then is one request's head. llhttp itself bounds neither size nor time.
"""

import asyncio
import json
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from worker.api.routes import DEFAULT
from worker.errors import BadRequest, HeadersTooLarge, WorkerError

HEAD_BYTES = 64 * 1024
"""Of a request's line and headers."""
FRAMING_BYTES = 2**20
"""Of everything that is not body: the head, chunk sizes, trailers."""
HEAD_SECONDS = 30.0
"""From a connection's begin, or the last answer's end, to the end of the next head."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. It offers `scope["extensions"]["connection"]`: `abort` drops it at once,
    `is_closing` says whether either side has begun to leave."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._framing = 0  # bytes of the current message that were not body
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._framing += len(data)
        super().data_received(data)
        bound = HEAD_BYTES if self._in_head else FRAMING_BYTES
        if self._framing > bound and not self.transport.is_closing():
            self._refuse(HeadersTooLarge("The request's headers are too large."))

    def on_message_begin(self) -> None:
        if self._deadline is None:
            self._await_head()
        super().on_message_begin()
        transport = self.transport
        self.scope["extensions"] = {
            "connection": {"abort": transport.abort, "is_closing": transport.is_closing}
        }

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._end_deadline()
        if self._answering():
            self.transport.abort()  # no client pipelines, and what it abandons would run on
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
        self._refuse(BadRequest(msg))

    def _refuse(self, error: WorkerError) -> None:
        """Answers what is no request, and hangs up."""
        body = json.dumps(DEFAULT.error(error)).encode()
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        self.transport.write(STATUS_LINE[error.status] + head % len(body) + body)
        self.transport.close()

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

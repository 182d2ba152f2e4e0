"""The one tree of errors, in no API's words: each dialect words them for its clients.

Rule: what a client may read is in `message`; nothing else of an exception ever leaves the worker.
Each entrypoint has one boundary, and `visible` is what translates any exception there.
`status` is HTTP's, which all APIs share.
"""

import logging
from typing import ClassVar

log = logging.getLogger(__name__)


class WorkerError(Exception):
    """An error that a client may see. `param` names the field that caused it."""

    status: ClassVar[int] = 500
    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = _well_formed(message)
        self.param = _well_formed(param) if param else None
        self.code = code or type(self).code


def _well_formed(text: str) -> str:
    """`text` as it can be sent: a client's unpaired surrogates may be quoted in it."""
    return text.encode("utf-8", "replace").decode()


class BadRequest(WorkerError):
    """The request itself is wrong; sending it again cannot help."""

    status = 400


class ContextLengthExceeded(BadRequest):
    """The prompt, or the prompt with the tokens asked for, does not fit the context."""

    code = "context_length_exceeded"


class GrammarRefused(BadRequest):
    """The engine cannot hold what the request asks for."""

    code = "unsupported_schema"


class NotFound(BadRequest):
    """An unknown route or model."""

    status = 404


class MethodNotAllowed(BadRequest):
    """The route exists, and does not take this method."""

    status = 405


class RequestTimeout(BadRequest):
    """The request did not come in time."""

    status = 408


class PayloadTooLarge(BadRequest):
    """The request's body is larger than this worker takes."""

    status = 413


class HeadersTooLarge(BadRequest):
    """The request's headers are larger than this worker takes."""

    status = 431


class Unauthorized(BadRequest):
    """No key, or none that this worker knows."""

    status = 401
    code = "invalid_api_key"


class ServerError(WorkerError):
    """Something failed that is not the request's fault."""


class EngineDead(ServerError):
    """The engine's processes have died: this worker can serve nothing more."""

    status = 503
    code = "engine_dead"


class EngineOverloaded(WorkerError):
    """The engine's queue is full; the same request may succeed later."""

    status = 429
    code = "engine_overloaded"


class TooManyRequests(EngineOverloaded):
    """This key has as many requests running as it may have."""

    code = "rate_limit_exceeded"


class NotReady(ServerError):
    """The engine is still booting; the same request will succeed in `seconds` or so."""

    status = 503
    code = "model_loading"
    seconds = 5


def visible(error: Exception, what: str) -> WorkerError:
    """The error that a client may see of any exception; `what` (`request r1`) is logged with it."""
    match error:
        case WorkerError():
            return error
        case _:
            log.error("%s failed", what, exc_info=error)
            return ServerError("The worker failed on this request.")

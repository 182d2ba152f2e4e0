"""The exception hierarchy, independent of any API. Each dialect formats errors for its clients.

Rule: clients see only `message`, `param` and `code`; nothing else about an exception leaves the
worker. Each entrypoint handles exceptions in one place, where `client_error` converts them.
`status` is the HTTP status, which all APIs share.
"""

import logging
from typing import ClassVar

log = logging.getLogger(__name__)


class WorkerError(Exception):
    """An error that may be shown to clients. `param` names the request field that caused it."""

    status: ClassVar[int] = 500
    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = _well_formed(message)
        self.param = _well_formed(param) if param else None
        self.code = code or type(self).code


def _well_formed(text: str) -> str:
    """Replaces unpaired surrogates, which can come from a quoted client value, with `?`."""
    return text.encode("utf-8", "replace").decode()


class BadRequest(WorkerError):
    """The request is invalid. Retrying it unchanged cannot succeed."""

    status = 400


class ContextLengthExceeded(BadRequest):
    """The prompt has `tokens`, but the context holds only `limit` of them."""

    code = "context_length_exceeded"

    def __init__(self, message: str, *, param: str | None, tokens: int, limit: int) -> None:
        super().__init__(message, param=param)
        self.tokens = tokens
        self.limit = limit


class GrammarRejected(BadRequest):
    """The engine cannot enforce the requested grammar."""

    code = "unsupported_schema"


class NotFound(BadRequest):
    """The route or model does not exist."""

    status = 404


class MethodNotAllowed(BadRequest):
    """The route exists but does not support this method."""

    status = 405


class RequestTimeout(BadRequest):
    """The request was not received in time."""

    status = 408


class PayloadTooLarge(BadRequest):
    """The request body exceeds this worker's limit."""

    status = 413


class AnswerTooLarge(BadRequest):
    """An answer cannot be delivered in pieces that the transport accepts. It counts as the
    request's fault because no client should send the request again."""

    code = "answer_too_large"


class HeadersTooLarge(BadRequest):
    """The request headers exceed this worker's limit."""

    status = 431


class Unauthorized(BadRequest):
    """The API key is missing or incorrect."""

    status = 401
    code = "invalid_api_key"


class ServerError(WorkerError):
    """A failure that the request did not cause."""


class EngineDead(ServerError):
    """An engine process has died; this worker can serve no more requests."""

    status = 503
    code = "engine_dead"

    def __init__(self) -> None:
        super().__init__("The engine has died and this worker is shutting down; try again.")


class EngineOverloaded(WorkerError):
    """The engine's queue is full. The same request may succeed later."""

    status = 429
    code = "engine_overloaded"


class TooManyRequests(EngineOverloaded):
    """This API key has reached its limit of concurrent requests."""

    code = "rate_limit_exceeded"


class NotReady(ServerError):
    """The engine is still starting. Retry after about `retry_after` seconds."""

    status = 503
    code = "model_loading"
    retry_after = 5


def client_error(error: Exception, what: str) -> WorkerError:
    """Converts any exception to one that is safe to show to clients.

    Unexpected exceptions are logged with `what`, which names the request (`job j1`).
    """
    match error:
        case WorkerError():
            return error
        case _:
            log.error("%s failed", what, exc_info=error)
            return ServerError("The worker failed to process this request.")

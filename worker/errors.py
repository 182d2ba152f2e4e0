"""The one tree of errors, and its translation to OpenAI error objects and HTTP statuses.

Rule: what a client may read is in `message`; nothing else of an exception ever leaves the worker.
Each entrypoint has one boundary that catches `WorkerError`, and turns anything else into
`ServerError` after logging it.
Source: https://platform.openai.com/docs/guides/error-codes and the bodies that OpenAI's API sends.
"""

import json
from typing import ClassVar, TypedDict


class ErrorObject(TypedDict):
    """OpenAI's error object, as it stands under `error`."""

    message: str
    type: str
    param: str | None
    code: str | None


class WorkerError(Exception):
    """An error that a client may see. `param` names the field that caused it."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = _well_formed(message)
        self.param = _well_formed(param) if param else None
        self.code = code or type(self).code

    def to_object(self) -> ErrorObject:
        return {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }

    def to_json(self) -> str:
        return json.dumps(self.to_object(), ensure_ascii=False)


def _well_formed(text: str) -> str:
    """`text` as it can be sent: a client's unpaired surrogates may be quoted in it."""
    return text.encode("utf-8", "replace").decode()


class BadRequest(WorkerError):
    """The request itself is wrong; sending it again cannot help."""

    status = 400
    type = "invalid_request_error"


class ContextLengthExceeded(BadRequest):
    """The prompt, or the prompt with the tokens asked for, does not fit the context."""

    code = "context_length_exceeded"


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
    type = "rate_limit_error"
    code = "engine_overloaded"


class TooManyRequests(EngineOverloaded):
    """This key has as many requests running as it may have."""

    code = "rate_limit_exceeded"


class NotReady(ServerError):
    """The engine is still booting; the same request will succeed in `seconds` or so."""

    status = 503
    code = "model_loading"
    seconds = 5

"""The format of errors and events in Anthropic's API.

An event has its name in the `event:` line and in `type`; clients skip events without the line, and
there is no final `[DONE]`. Errors have the same body as a response and as an event; as a response,
they also contain the request's ID.
Source: https://docs.anthropic.com/en/api/errors, and the types of the `anthropic` package.
"""

from typing import Any

from worker.api.dialect import Object
from worker.api.sse import server_sent_event
from worker.errors import (
    BadRequest,
    ContextLengthExceeded,
    EngineDead,
    EngineOverloaded,
    NotFound,
    NotReady,
    PayloadTooLarge,
    RequestTimeout,
    TooManyRequests,
    Unauthorized,
    WorkerError,
)

ID_HEADER = "request-id"
OVERLOADED = 529
"""Anthropic's HTTP status for an overloaded server. Clients retry it, like a 503."""
NO_THREADS = "thread_unsupported_request"
"""At this error code, the `anthropic` package's tool runner falls back from threads, where it sends
only new messages, to sending the whole history."""


def event(item: Object) -> str:
    """An object as one server-sent event. A token count has no type, so its event has no name."""
    return server_sent_event(item, item.get("type", ""))


def error(problem: WorkerError) -> Object:
    """The body of an error response."""
    told: dict[str, Any] = {"type": _type(problem), "message": _message(problem)}
    if problem.code == NO_THREADS:
        told["details"] = {"error_code": NO_THREADS, "unsupported": ["thread"]}
    return {"type": "error", "error": told}


def identified(body: Object, request_id: str) -> Object:
    """An error's body with the ID of its request."""
    return {**body, "request_id": request_id}


def status(problem: WorkerError) -> int:
    """The HTTP status of an error."""
    busy = isinstance(problem, EngineOverloaded) and not isinstance(problem, TooManyRequests)
    return OVERLOADED if busy else problem.status


def _type(problem: WorkerError) -> str:
    match problem:
        case Unauthorized():
            return "authentication_error"
        case NotFound():
            return "not_found_error"
        case RequestTimeout():
            return "timeout_error"
        case PayloadTooLarge():
            return "request_too_large"
        case TooManyRequests():
            return "rate_limit_error"
        case EngineOverloaded() | EngineDead() | NotReady() | WorkerError(code="worker_ending"):
            return "overloaded_error"
        case BadRequest():
            return "invalid_request_error"
        case _:
            return "api_error"


def _message(problem: WorkerError) -> str:
    """An error's message.

    Clients parse the numbers in `prompt is too long: 200000 tokens > 131072 maximum`. A prompt that
    fits the context but leaves no room for an answer gets a smaller maximum, so that this is true.
    """
    if not isinstance(problem, ContextLengthExceeded):
        return problem.message
    maximum = min(problem.limit, problem.tokens - 1)
    return f"prompt is too long: {problem.tokens} tokens > {maximum} maximum"


_PIECES = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""The types of delta that can be split, and the field that is."""


def split(item: Object) -> tuple[Object, Object] | None:
    """Splits a delta in two that add up to it. Returns None for anything else."""
    delta = item.get("delta") or {}
    name = _PIECES.get(delta.get("type", ""))
    if name is None or len(delta[name]) < 2:
        return None
    middle = len(delta[name]) // 2
    first, second = delta[name][:middle], delta[name][middle:]
    return {**item, "delta": {**delta, name: first}}, {**item, "delta": {**delta, name: second}}

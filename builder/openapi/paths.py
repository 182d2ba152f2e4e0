"""The routes: the requests, responses, errors and headers of each.

Rule: a stream's events are described by `x-event`, since OpenAPI has no keyword for them before
3.2. A route under /v1 may have the prefix /openai, as its `servers` say.
"""

from collections.abc import Mapping
from typing import Any

from builder.openapi.answers import MESSAGE_EVENTS
from builder.openapi.response_objects import RESPONSE_EVENTS

Json = dict[str, Any]

REFERENCE = "#/components/{}/{}"

HEADERS: Json = {
    "x-request-id": {
        "description": "The request's `x-request-id` if it has one, otherwise a generated one.",
        "schema": {"type": "string", "pattern": r"^[\w.:-]{1,128}$"},
    },
    "openai-processing-ms": {
        "description": "Milliseconds until the response began.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "retry-after": {
        "description": "Seconds.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "request-id": {
        "description": "The same as `x-request-id`.",
        "schema": {"type": "string", "pattern": r"^[\w.:-]{1,128}$"},
    },
    "www-authenticate": {"schema": {"const": "Bearer"}},
    "allow": {"schema": {"type": "string"}},
}

ERRORS: dict[str, tuple[str, *tuple[str, ...]]] = {
    "BadRequest": ("The request is invalid; `param` names the field.",),
    "Unauthorized": ("The API key is missing or wrong.", "www-authenticate"),
    "NotFound": ("There is no such route or model.",),
    "MethodNotAllowed": ("The route does not support this method.", "allow"),
    "RequestTimeout": ("The body did not arrive in time.",),
    "PayloadTooLarge": ("The body is larger than MAX_BODY_MB.",),
    "TooManyRequests": (
        "The engine's queue is full, or this key has too many concurrent requests.",
        "retry-after",
    ),
    "HeadersTooLarge": ("The headers are larger than 64 KB.",),
    "ServerError": ("Internal error of the worker.",),
    "Unavailable": ("The model is loading, or the engine has died.", "retry-after"),
}
"""The meaning of each, and its headers in addition to those of every response."""

MESSAGE_ERRORS = {
    **{f"Messages{name}": about for name, about in ERRORS.items() if name != "HeadersTooLarge"},
    "MessagesOverloaded": ("The engine's queue is full.", "retry-after"),
    "MessagesTooManyRequests": ("This key has too many concurrent requests.", "retry-after"),
}
"""The same in Anthropic's words. What cannot be read as a request has no path, so no API."""

_OF_EVERY_CALL = {
    "401": "Unauthorized",
    "404": "NotFound",
    "405": "MethodNotAllowed",
    "429": "TooManyRequests",
    "431": "HeadersTooLarge",
    "500": "ServerError",
    "503": "Unavailable",
}
_OF_A_BODY = {"400": "BadRequest", "408": "RequestTimeout", "413": "PayloadTooLarge"}
_OF_MESSAGES = {
    status: name if name == "HeadersTooLarge" else f"Messages{name}"
    for status, name in (_OF_A_BODY | _OF_EVERY_CALL | {"529": "Overloaded"}).items()
}


def paths() -> Json:
    chat = _post("createChatCompletion", "ChatRequest", "ChatCompletion", "ChatCompletionChunk")
    text = _post("createCompletion", "CompletionRequest", "TextCompletion", "TextCompletionChunk")
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    name["description"] = "It may contain slashes."
    return {
        "/v1/chat/completions": _under_v1(post=chat),
        "/v1/completions": _under_v1(post=text),
        "/v1/messages": _under_v1(post=_message()),
        "/v1/messages/count_tokens": _under_v1(post=_count()),
        **_responses(),
        "/v1/models": _under_v1(get=_get("listModels", _json("ModelList"))),
        "/v1/models/{name}": _under_v1(
            parameters=[name], get=_get("retrieveModel", _json("Model"))
        ),
        "/metrics": {"get": _get("metrics", {"text/plain": {"schema": {"type": "string"}}})},
        "/health": {"get": _check("health", _json("HealthReport"), {"200", "503"})},
        "/ping": {"get": _check("ping", {}, {"200", "204", "503"})},
    }


def _responses() -> Json:
    """The Responses API."""
    events = [event.__name__ for event in RESPONSE_EVENTS]
    response_id = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    not_stored = {"400": "BadRequest"}
    return {
        "/v1/responses": _under_v1(
            post=_post("createResponse", "ResponsesRequest", "ResponseObject", *events)
        ),
        "/v1/responses/input_tokens": _under_v1(
            post=_without_stream("countInputTokens", "ResponsesRequest", "InputTokens")
        ),
        "/v1/responses/compact": _under_v1(post=_unsupported("compactResponse")),
        "/v1/responses/{id}": _under_v1(
            parameters=[response_id],
            get=_get("retrieveResponse", _json("ResponseObject"), not_stored),
            delete=_get("deleteResponse", _json("DeletedResponse"), not_stored),
        ),
        "/v1/responses/{id}/cancel": _under_v1(
            parameters=[response_id], post=_unsupported("cancelResponse")
        ),
        "/v1/responses/{id}/input_items": _under_v1(
            parameters=[
                response_id,
                _query("order", {"enum": ["asc", "desc"], "default": "desc"}),
                _query("limit", {"type": "integer", "minimum": 1, "maximum": 100}),
                _query("after", {"type": "string"}),
            ],
            get=_get("listInputItems", _json("InputItemList"), not_stored),
        ),
    }


def _query(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "schema": schema}


def _under_v1(**operations: Any) -> Json:
    return {"servers": [{"url": "/"}, {"url": "/openai"}], **operations}


def _post(name: str, request: str, whole: str, *chunks: str) -> Json:
    """An operation with a complete response, or a stream of chunks."""
    events = {
        "schema": {"description": "Server-sent events; the last is [DONE]."},
        "x-event": {"anyOf": [*map(_schema, chunks), _schema("Error")]},
    }
    operation = _without_stream(name, request, whole)
    operation["responses"]["200"]["content"]["text/event-stream"] = events
    return operation


def _without_stream(name: str, request: str, whole: str) -> Json:
    return {
        "operationId": name,
        "requestBody": {"required": True, "content": _json(request)},
        "responses": {"200": _success(_json(whole)), **_errors(_OF_A_BODY | _OF_EVERY_CALL)},
    }


def _message() -> Json:
    events = {
        "schema": {"description": "Server-sent events; the last is message_stop, or an error."},
        "x-event": {"anyOf": [_schema(each.__name__) for each in MESSAGE_EVENTS]},
    }
    content = {**_json("Message"), "text/event-stream": events}
    return _of_messages("createMessage", "MessagesRequest", content)


def _count() -> Json:
    return _of_messages("countMessageTokens", "CountRequest", _json("TokenCount"))


def _of_messages(name: str, request: str, content: Json) -> Json:
    return {
        "operationId": name,
        "requestBody": {"required": True, "content": _json(request)},
        "responses": {"200": _success(content, "request-id"), **_errors(_OF_MESSAGES)},
    }


def _unsupported(name: str) -> Json:
    return {
        "operationId": name,
        "description": "Not supported: always a 400 that says what to do instead.",
        "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": _errors(_OF_A_BODY | _OF_EVERY_CALL),
    }


def _get(name: str, content: Json, more: Mapping[str, str] | None = None) -> Json:
    """An operation without a body; `more`: errors that others have not."""
    errors = _OF_EVERY_CALL | dict(more or {})
    return {
        "operationId": name,
        "responses": {"200": _success(content), **_errors(errors)},
    }


def _check(name: str, content: Json, statuses: set[str]) -> Json:
    """A health check: 200 ready, 204 starting, 503 unhealthy. It needs no key."""
    meanings = {"200": "Ready.", "204": "Starting.", "503": "Not ready."}
    found = {s: {**_success(content), "description": meanings[s]} for s in sorted(statuses)}
    errors = _errors({"405": "MethodNotAllowed", "431": "HeadersTooLarge", "500": "ServerError"})
    return {"operationId": name, "security": [], "responses": {**found, **errors}}


def _success(content: Json, *headers: str) -> Json:
    answer: Json = {"description": "Success.", "headers": _headers(*headers)}
    return {**answer, "content": content} if content else answer


def errors() -> Json:
    """Every response that is an error, by its name."""
    openais = {name: _error("Error", *about) for name, about in ERRORS.items()}
    anthropics = {
        name: _error("MessageError", *about, "request-id") for name, about in MESSAGE_ERRORS.items()
    }
    return openais | anthropics


def _error(body: str, description: str, *headers: str) -> Json:
    return {
        "description": description,
        "headers": _headers(*headers),
        "content": _json(body),
    }


def _headers(*more: str) -> Json:
    names = ("x-request-id", "openai-processing-ms", *more)
    return {name: {"$ref": REFERENCE.format("headers", name)} for name in names}


def _errors(named: dict[str, str]) -> Json:
    return {
        status: {"$ref": REFERENCE.format("responses", name)}
        for status, name in sorted(named.items())
    }


def _json(schema: str) -> Json:
    return {"application/json": {"schema": _schema(schema)}}


def _schema(name: str) -> Json:
    return {"$ref": REFERENCE.format("schemas", name)}

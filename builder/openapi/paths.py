"""The routes: the requests, responses, errors and headers of each.

Rule: a stream's events are described by `x-event`, since OpenAPI has no keyword for them before
3.2. A route under /v1 may have the prefix /openai, as its `servers` say.
"""

from typing import Any

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


def paths() -> Json:
    chat = _post("createChatCompletion", "ChatRequest", "ChatCompletion", "ChatCompletionChunk")
    text = _post("createCompletion", "CompletionRequest", "TextCompletion", "TextCompletionChunk")
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    name["description"] = "It may contain slashes."
    return {
        "/v1/chat/completions": _under_v1(post=chat),
        "/v1/completions": _under_v1(post=text),
        "/v1/responses": _under_v1(post=_not_yet("createResponse")),
        "/v1/models": _under_v1(get=_get("listModels", _json("ModelList"))),
        "/v1/models/{name}": _under_v1(
            parameters=[name], get=_get("retrieveModel", _json("Model"))
        ),
        "/metrics": {"get": _get("metrics", {"text/plain": {"schema": {"type": "string"}}})},
        "/health": {"get": _check("health", _json("HealthReport"), {"200", "503"})},
        "/ping": {"get": _check("ping", {}, {"200", "204", "503"})},
    }


def _under_v1(**operations: Any) -> Json:
    return {"servers": [{"url": "/"}, {"url": "/openai"}], **operations}


def _post(name: str, request: str, whole: str, chunk: str) -> Json:
    """An operation with a complete response, or a stream of chunks."""
    events = {
        "schema": {"description": "Server-sent events; the last is [DONE]."},
        "x-event": {"anyOf": [_schema(chunk), _schema("Error")]},
    }
    content = {**_json(whole), "text/event-stream": events}
    return {
        "operationId": name,
        "requestBody": {"required": True, "content": _json(request)},
        "responses": {"200": _success(content), **_errors(_OF_A_BODY | _OF_EVERY_CALL)},
    }


def _not_yet(name: str) -> Json:
    return {
        "operationId": name,
        "description": "Not supported yet: always a 404 that says so.",
        "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": _errors(_OF_A_BODY | _OF_EVERY_CALL),
    }


def _get(name: str, content: Json) -> Json:
    return {
        "operationId": name,
        "responses": {"200": _success(content), **_errors(_OF_EVERY_CALL)},
    }


def _check(name: str, content: Json, statuses: set[str]) -> Json:
    """A health check: 200 ready, 204 starting, 503 unhealthy. It needs no key."""
    meanings = {"200": "Ready.", "204": "Starting.", "503": "Not ready."}
    found = {s: {**_success(content), "description": meanings[s]} for s in sorted(statuses)}
    errors = _errors({"405": "MethodNotAllowed", "431": "HeadersTooLarge", "500": "ServerError"})
    return {"operationId": name, "security": [], "responses": {**found, **errors}}


def _success(content: Json) -> Json:
    answer: Json = {"description": "Success.", "headers": _headers()}
    return {**answer, "content": content} if content else answer


def error(description: str, *headers: str) -> Json:
    return {
        "description": description,
        "headers": _headers(*headers),
        "content": _json("Error"),
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

"""A failed job as its client's API shows it: the error object, its HTTP status, and its event.

OpenAI's APIs and Anthropic's differ in all three. The error object is the worker's wherever its job
failed with one; the platform's own errors are given the same form.
Not known of the platform, so chosen here: the HTTP status, which is the one that the API itself
would send.
Sources: https://platform.openai.com/docs/guides/error-codes, and
https://docs.anthropic.com/en/api/errors.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from emulator.job import Job, Json

Error = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """How one API reports errors. `statuses`: HTTP statuses by the error's code or type; any other
    error is a 500. `named`: whether events have an `event:` line."""

    server_error: Error
    statuses: Mapping[str, int]
    envelope: Mapping[str, Json]
    named: bool

    def error_of(self, job: Job) -> Error:
        """The error of a job that did not complete."""
        try:
            given = json.loads(job.error or "")
        except (ValueError, RecursionError):
            given = None
        if isinstance(given, dict) and "message" in given:
            return given
        return self.error(job.error or f"The job is {job.state.value}.")

    def error(self, message: str) -> Error:
        """An error of the platform's own."""
        return {**self.server_error, "message": message}

    def status(self, error: Error) -> int:
        code, kind = str(error.get("code")), str(error.get("type"))
        return self.statuses.get(code) or self.statuses.get(kind) or 500

    def body(self, error: Error) -> Json:
        return {**self.envelope, "error": error}

    def event(self, error: Error) -> str:
        """The error as the last server-sent event of a stream."""
        name = "event: error\n" if self.named else ""
        return f"{name}data: {json.dumps(self.body(error))}\n\n"


_OPENAI_ERROR = {"message": "", "type": "server_error", "param": None, "code": None}
_OPENAI_STATUSES = {
    "model_not_found": 404,
    "unknown_url": 404,
    "response_not_found": 404,
    "invalid_api_key": 401,
    "engine_dead": 503,
    "invalid_request_error": 400,
    "rate_limit_error": 429,
}
_CHAT = ErrorFormat(_OPENAI_ERROR, _OPENAI_STATUSES, {}, named=False)
_RESPONSES = ErrorFormat(_OPENAI_ERROR, _OPENAI_STATUSES, {"type": "error"}, named=True)
_MESSAGES = ErrorFormat(
    {"type": "api_error", "message": ""},
    {
        "invalid_request_error": 400,
        "authentication_error": 401,
        "not_found_error": 404,
        "timeout_error": 408,
        "request_too_large": 413,
        "rate_limit_error": 429,
        "overloaded_error": 529,
    },
    {"type": "error"},
    named=True,
)
_BY_PREFIX = {"/v1/messages": _MESSAGES, "/v1/responses": _RESPONSES}


def error_format(path: str) -> ErrorFormat:
    """The format of the API that a path such as `/v1/messages/count_tokens` belongs to."""
    found = (each for prefix, each in _BY_PREFIX.items() if f"{path}/".startswith(f"{prefix}/"))
    return next(found, _CHAT)

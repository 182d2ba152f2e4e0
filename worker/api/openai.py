"""What OpenAI's chat and text completions share: their error, their usage, the end of a stream.

Source: https://platform.openai.com/docs/guides/error-codes, and the bodies that OpenAI's API sends.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from worker.api.dialect import Object
from worker.errors import BadRequest, EngineOverloaded, WorkerError
from worker.turn import Usage


def event(item: Mapping[str, Any]) -> str:
    """An object as one server-sent event; joined, events are a valid stream."""
    return f"data: {orjson.dumps(item).decode()}\n\n"


END = "data: [DONE]\n\n"
"""The last event of a stream that did not fail."""


def error(problem: WorkerError) -> Object:
    """The body of a failed answer."""
    return {
        "error": {
            "message": problem.message,
            "type": _type(problem),
            "param": problem.param,
            "code": problem.code,
        }
    }


def _type(problem: WorkerError) -> str:
    match problem:
        case EngineOverloaded():
            return "rate_limit_error"
        case BadRequest():
            return "invalid_request_error"
        case _:
            return "server_error"


def usage(total: Usage) -> dict[str, Any]:
    """The `usage` object; its details are always there."""
    return {
        "prompt_tokens": total.prompt,
        "completion_tokens": total.completion,
        "total_tokens": total.prompt + total.completion,
        "prompt_tokens_details": {"cached_tokens": total.cached},
        "completion_tokens_details": {"reasoning_tokens": total.reasoning},
    }

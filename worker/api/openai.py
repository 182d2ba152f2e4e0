"""What OpenAI's APIs share: the error, usage and log probability objects, and the end of a stream.

Source: https://platform.openai.com/docs/guides/error-codes, and the bodies that OpenAI's API sends.
"""

from typing import Any

from worker.api.dialect import Object
from worker.errors import BadRequest, EngineOverloaded, WorkerError
from worker.generation import TokenLogprob
from worker.harmony.vocabulary import FIRST_SPECIAL, token_bytes
from worker.turn import Usage

END = "data: [DONE]\n\n"
"""The last event of a successful stream."""


def error(problem: WorkerError) -> Object:
    """The error object that is the body of a failed request."""
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
    """The `usage` object, always with its details."""
    return {
        "prompt_tokens": total.prompt,
        "completion_tokens": total.completion,
        "total_tokens": total.prompt + total.completion,
        "prompt_tokens_details": {"cached_tokens": total.cached},
        "completion_tokens_details": {"reasoning_tokens": total.reasoning},
    }


def logprob(token: TokenLogprob) -> Object:
    """A token with its log probability and those of its most likely alternatives."""
    top = [_token(alternative, value) for alternative, value in token.top]
    return {**_token(token.id, token.logprob), "top_logprobs": top}


def _token(token: int, value: float) -> Object:
    """A token in OpenAI's format: its text, log probability and bytes."""
    data = token_bytes()[token] if token < FIRST_SPECIAL else b""
    return {"token": data.decode("utf-8", "replace"), "logprob": value, "bytes": list(data)}

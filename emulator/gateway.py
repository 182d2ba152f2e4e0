"""An endpoint's OpenAI-compatible URL: each request becomes a job, whose output is the response.

Rules: a stream is forwarded string by string, as it arrives. A failed job becomes OpenAI's error
object, with the HTTP status that OpenAI would send. If the client disconnects before [DONE], its
job is cancelled.
Not known of the platform, so chosen here: that status, and how a stream ends whose worker is lost
after text was sent. It ends with an error event, since another worker would generate another text.
Source: https://docs.runpod.io/serverless/vllm/openai-compatibility
"""

import json
from collections.abc import AsyncIterator, Mapping

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from emulator.app_state import AppState, app_state
from emulator.job import Attempt, Chunk, Job, Json, State
from emulator.web import long_poll, parse, read, reply

REQUEST_LIMIT = 20_000_000
WAIT_S = 24 * 3600
"""Longer than any job may take: the job's own timeouts end the wait."""

_STATUS_OF_CODE = {"model_not_found": 404, "unknown_url": 404, "engine_dead": 503}
_STATUS_OF_TYPE = {"invalid_request_error": 400, "rate_limit_error": 429}
_WORKER_LOST = "The worker was lost after part of the response had been sent."

_DONE = "data: [DONE]\n\n"

Error = Mapping[str, Json]


async def answer(request: Request) -> Response:
    """Answers one request of an OpenAI client."""
    state = app_state(request)
    body = parse(await read(request, REQUEST_LIMIT)) if request.method == "POST" else {}
    route = f"/v1/{request.path_params['route']}"
    job = state.endpoint.submit({"openai_route": route, "openai_input": body}, "openai")
    streams = isinstance(body, dict) and body.get("stream") is True

    def ready() -> bool | None:
        return bool(job.ended or (streams and job.chunks)) or None

    if not await long_poll(request, state.notifier, ready, job.id, WAIT_S):
        state.endpoint.cancel(job)
        return Response(status_code=499)  # never read: the client has disconnected
    if streams and job.owner and job.chunks:
        return StreamingResponse(_events(state, job, job.owner), media_type="text/event-stream")
    return _whole(job)


async def _events(state: AppState, job: Job, attempt: Attempt) -> AsyncIterator[str]:
    """The job's strings as they arrive; cancels the job if the client disconnects before [DONE]."""
    sent, complete = 0, False

    def more() -> list[Chunk] | None:
        over = job.ended or job.owner is not attempt
        return attempt.chunks[sent:] or ([] if over else None)

    try:
        while chunks := await state.notifier.wait_until(more, job.id, WAIT_S):
            text = "".join(_event(chunk.output) for chunk in chunks)
            sent, complete = sent + len(chunks), text.endswith(_DONE)
            yield text
        if job.owner is not attempt:
            yield _event({"error": _server_error(_WORKER_LOST)})
        elif job.state in (State.CANCELLED, State.TIMED_OUT):
            yield _event({"error": error_of(job)})
    finally:
        if not complete:
            state.endpoint.cancel(job)


def _whole(job: Job) -> Response:
    """The response of a job that did not stream: its one object, or its error."""
    if job.state is State.COMPLETED:
        output = job.output
        return reply(output[0] if isinstance(output, list) and len(output) == 1 else output)
    error = error_of(job)
    status = status_of(error)
    headers = {"Retry-After": "1"} if status == 429 else None
    return reply({"error": error}, status, headers)


def error_of(job: Job) -> Error:
    """OpenAI's error object: the worker's, if its error is one as JSON; else one with its text."""
    try:
        given = json.loads(job.error or "")
    except (ValueError, RecursionError):
        given = None
    if isinstance(given, dict) and "message" in given:
        return given
    return _server_error(job.error or f"The job is {job.state.value}.")


def status_of(error: Error) -> int:
    """The HTTP status of an error object."""
    code, type_ = str(error.get("code")), str(error.get("type"))
    return _STATUS_OF_CODE.get(code) or _STATUS_OF_TYPE.get(type_) or 500


def _server_error(message: str) -> Error:
    return {"message": message, "type": "server_error", "param": None, "code": None}


def _event(output: Json) -> str:
    """A chunk as server-sent events. Strings from the worker already are."""
    return output if isinstance(output, str) else f"data: {json.dumps(output)}\n\n"


ROUTES = [Route("/openai/v1/{route:path}", answer, methods=["GET", "POST"])]

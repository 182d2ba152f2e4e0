"""An endpoint's OpenAI-compatible URL: each request becomes a job, whose output is the response.

Rules: a stream is forwarded string by string, as it arrives. A failed job becomes an error in the
client's API (`client_errors.py`). If the client disconnects before the stream's last event, its job
is cancelled.
Not known of the platform, so chosen here: that it forwards `/v1/responses` and `/v1/messages`; that
a query stays in the job's route and a DELETE is named in `method`; and how a stream ends whose
worker is lost after text was sent. It ends with an error event, since another worker would generate
another text.
Source: https://docs.runpod.io/serverless/vllm/openai-compatibility
"""

import json
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from emulator.app_state import AppState, app_state
from emulator.client_errors import ErrorFormat, error_format
from emulator.job import Attempt, Chunk, Job, Json, State
from emulator.web import long_poll, parse, read, reply

REQUEST_LIMIT = 20_000_000
WAIT_S = 24 * 3600
"""Longer than any job may take: the job's own timeouts end the wait."""

_WORKER_LOST = "The worker was lost after part of the response had been sent."
_RETRY_LATER = {429, 529}
"""Statuses that are sent with Retry-After."""


async def answer(request: Request) -> Response:
    """Answers one request of a client of any API."""
    state, errors = app_state(request), error_format(_path(request))
    body = parse(await read(request, REQUEST_LIMIT)) if request.method == "POST" else {}
    job = state.endpoint.submit(_job_input(request, body), "openai")
    streams = isinstance(body, dict) and body.get("stream") is True

    def ready() -> bool | None:
        return bool(job.ended or (streams and job.chunks)) or None

    if not await long_poll(request, state.notifier, ready, job.id, WAIT_S):
        state.endpoint.cancel(job)
        return Response(status_code=499)  # never read: the client has disconnected
    if streams and job.owner and job.chunks:
        events = _events(state, job, job.owner, errors)
        return StreamingResponse(events, media_type="text/event-stream")
    return _whole(job, errors)


def _path(request: Request) -> str:
    return f"/v1/{request.path_params['route']}"


def _job_input(request: Request, body: Json) -> Json:
    query = f"?{request.url.query}" if request.url.query else ""
    method = {"method": "DELETE"} if request.method == "DELETE" else {}
    return {"openai_route": _path(request) + query, "openai_input": body, **method}


async def _events(
    state: AppState, job: Job, attempt: Attempt, errors: ErrorFormat
) -> AsyncIterator[str]:
    """The job's strings as they arrive; cancels the job if the client disconnects before the last
    event."""
    sent, complete = 0, False

    def more() -> list[Chunk] | None:
        over = job.ended or job.owner is not attempt
        return attempt.chunks[sent:] or ([] if over else None)

    try:
        while chunks := await state.notifier.wait_until(more, job.id, WAIT_S):
            text = "".join(_event(chunk.output) for chunk in chunks)
            sent, complete = sent + len(chunks), complete or _is_last(text)
            yield text
        if job.owner is not attempt:
            yield errors.event(errors.error(_WORKER_LOST))
        elif job.state in (State.CANCELLED, State.TIMED_OUT):
            yield errors.event(errors.error_of(job))
    finally:
        if not complete:
            state.endpoint.cancel(job)


_LAST = ("data: [DONE]\n", "event: message_stop\n", "event: error\n", 'data: {"error"')
"""How a stream's last events begin: a client may disconnect as soon as it has one of them. No JSON
text has these strings, as it has no line break and no bare quote."""


def _is_last(text: str) -> bool:
    return any(mark in text for mark in _LAST)


def _whole(job: Job, errors: ErrorFormat) -> Response:
    """The response of a job that did not stream: its one object, or its error."""
    if job.state is State.COMPLETED:
        output = job.output
        return reply(output[0] if isinstance(output, list) and len(output) == 1 else output)
    error = errors.error_of(job)
    status = errors.status(error)
    headers = {"Retry-After": "1"} if status in _RETRY_LATER else None
    return reply(errors.body(error), status, headers)


def _event(output: Json) -> str:
    """A chunk as server-sent events. Strings from the worker already are."""
    return output if isinstance(output, str) else f"data: {json.dumps(output)}\n\n"


ROUTES = [Route("/openai/v1/{route:path}", answer, methods=["GET", "POST", "DELETE"])]

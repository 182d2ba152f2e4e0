"""A RunPod job: the forms that its input takes, and what it yields for an answer or an error.

Rule: any JSON value is answered, by an answer or by one error object; nothing else ever leaves.
Forms of the input: 1. `{"openai_route", "openai_input"}`, from the OpenAI-compatible URL, or
`{"route", "method", "body"}`; 2. the fields of a chat completion, or a `prompt` with
`apply_chat_template: true`, which is a user's message; 3. `{"prompt"}`, a text completion.
A stream that fails says so in its own form, and then the job fails.
Source: RunPod's vLLM and SGLang workers, whose forms these are.
"""

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from worker.api import sse
from worker.api.chat_answer import together
from worker.api.field_table import Route, canonical
from worker.api.fields import json_type
from worker.errors import BadRequest, ServerError, WorkerError
from worker.metrics import JobMetrics
from worker.service import Batch, Service

log = logging.getLogger(__name__)

Json = Any  # A JSON value from outside.
Output = str | dict[str, Any]
"""What a job yields: SSE events (form 1, streamed) or an OpenAI object."""

PROMPT_MAX_TOKENS = 128
"""Of a prompt of form 3 that says nothing of it: the default of SGLang's own `SamplingParams`,
which RunPod's SGLang worker passes on. OpenAI's 16, which the route /v1/completions keeps, would
cut off the answers that users of that worker know."""


@dataclass(frozen=True, slots=True)
class JobInput:
    """What a job asks: `body` at `route`; `as_events`: a streamed answer leaves as SSE."""

    route: str
    body: Json
    as_events: bool

    @property
    def streams(self) -> bool:
        return isinstance(self.body, Mapping) and self.body.get("stream") is True


def read(job_input: Json) -> JobInput:
    """The form of a job's `input`. Raises BadRequest."""
    if not isinstance(job_input, Mapping):
        raise BadRequest(f"input must be a JSON object, not {json_type(job_input)}.", param="input")
    if "openai_route" in job_input:
        return _routed(job_input, "openai_route", "openai_input")
    if "route" in job_input and not job_input.keys() & {"messages", "prompt"}:
        return _routed(job_input, "route", "body")
    body = dict(job_input)
    if body.get("apply_chat_template") is True and "messages" not in body and "prompt" in body:
        body["messages"] = [{"role": "user", "content": body.pop("prompt")}]
    if "prompt" in body and "messages" not in body:
        body = _with_sampling_params(body, "text")
        if all(canonical("text", name) != "max_tokens" for name in body):
            body["max_tokens"] = PROMPT_MAX_TOKENS
        return JobInput("/v1/completions", body, as_events=False)
    body = _with_sampling_params(body, "chat")
    if "messages" not in body:
        raise BadRequest(
            "input must have openai_route and openai_input, messages, or prompt.", param="input"
        )
    return JobInput("/v1/chat/completions", body, as_events=False)


def _routed(job_input: Mapping[str, Json], route_field: str, body_field: str) -> JobInput:
    route, body = job_input[route_field], job_input.get(body_field) or {}
    if not isinstance(route, str):
        raise BadRequest(
            f"{route_field} must be a string, not {json_type(route)}.", param=route_field
        )
    job = JobInput(route, body, as_events=False)
    return replace(job, as_events=job.streams)


def _with_sampling_params(body: Mapping[str, Json], route: Route) -> dict[str, Json]:
    """`body` with the peers' `sampling_params` beside its fields, which win."""
    params = body.get("sampling_params")
    fields = {name: value for name, value in body.items() if name != "sampling_params"}
    if params is None:
        return fields
    if not isinstance(params, Mapping):
        raise BadRequest(
            f"sampling_params must be an object, not {json_type(params)}.", param="sampling_params"
        )
    given = {canonical(route, name) for name in fields}
    more = {str(k): v for k, v in params.items() if canonical(route, str(k)) not in given}
    return {**more, **fields}


async def outputs(
    service: Service, job_input: Json, metrics: JobMetrics, problem: WorkerError | None = None
) -> AsyncGenerator[Output]:
    """What the job yields. An error is the last output: `{"error": an error object as JSON}`.

    The SDK fails a job that yields such a dict, and passes the text on as it is.
    `problem` is why the job cannot be answered, if that is known already.
    """
    as_events = streams = False
    try:
        job = read(job_input)
        as_events, streams = job.as_events, job.streams
        async with aclosing(_batches(service, job, metrics, problem)) as batches:
            async for batch in batches:
                if as_events:
                    yield "".join(map(sse.event, batch))
                else:
                    for item in together(batch):
                        yield item
        if as_events:
            yield sse.DONE
    except Exception as error:  # noqa: BLE001 - the one boundary of a job
        visible = _visible(error)
        if as_events:
            yield sse.event({"error": visible.to_object()})
        elif streams:
            yield {"error": visible.to_object()}
        yield {"error": visible.to_json()}


def _batches(
    service: Service, job: JobInput, metrics: JobMetrics, problem: WorkerError | None
) -> AsyncGenerator[Batch]:
    if problem is not None:
        raise problem
    return service.answer(job.route, job.body, metrics)


def _visible(error: Exception) -> WorkerError:
    """The error that the client may see."""
    if isinstance(error, WorkerError):
        return error
    if isinstance(error, RecursionError):
        return BadRequest("The request is nested too deeply.")
    log.error("a job failed", exc_info=error)
    return ServerError("The worker failed on this request.")


def error_of(output: Output) -> str | None:
    """The error object as JSON text, if that is what an output is: what fails the job.

    The same as an object is the last chunk of a stream.
    """
    if isinstance(output, dict) and output.keys() == {"error"}:
        error = output["error"]
        return error if isinstance(error, str) else None
    return None

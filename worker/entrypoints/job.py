"""A RunPod job: the forms that its input takes, and what it yields for an answer or an error.

Rule: any JSON value is answered, by an answer or by one error object; nothing else ever leaves.
Forms of the input: 1. `{"openai_route", "openai_input"}`, from the OpenAI-compatible URL;
2. the fields of a chat completion; 3. `{"prompt"}`, a text completion.
Source: RunPod's vLLM and SGLang workers, whose forms these are.
"""

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from worker.api import sse
from worker.api.chat_answer import together
from worker.api.fields import json_type
from worker.errors import BadRequest, ServerError, WorkerError
from worker.metrics import JobMetrics
from worker.service import Batch, Service

log = logging.getLogger(__name__)

Json = Any  # A JSON value from outside.
Output = str | dict[str, Any]
"""What a job yields: SSE events (form 1, streamed) or an OpenAI object."""

_NATIVE_NAMES = {"max_new_tokens": "max_tokens"}
"""SGLang's names of sampling parameters where OpenAI has another."""


@dataclass(frozen=True, slots=True)
class JobInput:
    """What a job asks: `body` at `route`; `as_events`: a streamed answer leaves as SSE."""

    route: str
    body: Json
    as_events: bool


def read(job_input: Json) -> JobInput:
    """The form of a job's `input`. Raises BadRequest."""
    if not isinstance(job_input, Mapping):
        raise BadRequest(f"input must be a JSON object, not {json_type(job_input)}.", param="input")
    if "openai_route" in job_input:
        route, body = job_input["openai_route"], job_input.get("openai_input") or {}
        if not isinstance(route, str):
            raise BadRequest(
                f"openai_route must be a string, not {json_type(route)}.", param="openai_route"
            )
        return JobInput(route, body, _streams(body))
    body = {**_native_sampling(job_input), **job_input}
    body.pop("sampling_params", None)
    if "prompt" in body and "messages" not in body:
        return JobInput("/v1/completions", body, as_events=False)
    if "messages" not in body:
        raise BadRequest(
            "input must have openai_route and openai_input, messages, or prompt.", param="input"
        )
    return JobInput("/v1/chat/completions", body, as_events=False)


def _streams(body: Json) -> bool:
    return isinstance(body, Mapping) and body.get("stream") is True


def _native_sampling(job_input: Mapping[str, Json]) -> dict[str, Json]:
    """The peers' `sampling_params`, under OpenAI's names."""
    params = job_input.get("sampling_params")
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        raise BadRequest(
            f"sampling_params must be an object, not {json_type(params)}.", param="sampling_params"
        )
    return {_NATIVE_NAMES.get(str(key), str(key)): value for key, value in params.items()}


async def outputs(
    service: Service, job_input: Json, metrics: JobMetrics, problem: WorkerError | None = None
) -> AsyncGenerator[Output]:
    """What the job yields. An error is the last output: `{"error": an error object as JSON}`.

    The SDK fails a job that yields such a dict, and passes the text on as it is.
    `problem` is why the job cannot be answered, if that is known already.
    """
    as_events = False
    try:
        job = read(job_input)
        as_events = job.as_events
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
    """The error object as JSON text, if that is what an output is."""
    if isinstance(output, dict) and output.keys() == {"error"}:
        return str(output["error"])
    return None

"""RunPod jobs, independent of transport: the accepted forms of `input`, and the parts of an answer.

For any JSON value as input, `parts` yields an answer or raises `JobFailed` with the reason; it
raises no other exception. If a stream fails, an error is sent in the stream's own format, and then
the job fails. Forms of the input:

1. `{"openai_route", "openai_input"}`, from the OpenAI-compatible URL, or
   `{"route", "method", "body"}`;
2. the fields of a chat completion, or a `prompt` with `apply_chat_template: true`, which becomes a
   user message;
3. `{"prompt"}`, a text completion;
4. `{"input"}`, a Responses request;
5. `{"messages", "max_tokens"}` with what only Anthropic's Messages have (see `_is_message`).

Source: RunPod's vLLM and SGLang workers, which accept forms 1 to 3.
"""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from worker import json_depth
from worker.api.dialect import Dialect, Object
from worker.api.field_table import RequestKind, canonical, given_fields
from worker.api.fields import json_type
from worker.api.routes import DEFAULT, OTHER, RouteMatch, route_for
from worker.errors import BadRequest, WorkerError, client_error
from worker.job_metrics import JobMetrics
from worker.json_depth import Json
from worker.service import Batch, Exchange, LastBatch, Service

Output = str | Object
"""An encoded part of an answer: server-sent events (form 1, streamed) or one object."""

PROMPT_MAX_TOKENS = 128
"""The `max_tokens` of a form 3 prompt that sets none: the default of SGLang's `SamplingParams`, and
so of RunPod's SGLang worker. OpenAI's default of 16, which /v1/completions uses, would truncate
answers for users who migrate from that worker."""


_MESSAGES_ONLY = ("system", "output_config", "anthropic_version")
"""Fields of Anthropic's Messages that a chat completion does not have."""


@dataclass(frozen=True, slots=True)
class JobInput:
    """A job's parsed input."""

    route: RouteMatch
    body: Json


FailureReport = Mapping[str, str]
"""A job's failure as RunPod expects it: `{"error": TEXT}`, which RunPod passes on unchanged."""


def failure_report(error: WorkerError, dialect: Dialect = DEFAULT) -> FailureReport:
    """The report of a job that failed with `error`: the dialect's error object, as JSON text."""
    return {"error": json.dumps(dialect.error(error)["error"], ensure_ascii=False)}


class JobFailed(Exception):
    """A job's failure, and what RunPod is told of it."""

    def __init__(self, report: FailureReport) -> None:
        super().__init__(report["error"])
        self.report = report


@dataclass(frozen=True, slots=True)
class Part:
    """Objects of an answer that are delivered together: any number as events, or exactly one as an
    object. `ends`: append the stream's end marker. `is_all`: this is the whole answer.
    """

    dialect: Dialect
    objects: Sequence[Object]
    as_events: bool
    ends: bool = False
    is_all: bool = False

    def encoded(self) -> Output:
        if not self.as_events:
            return self.objects[0]
        events = [self.dialect.event(item) for item in self.objects]
        return "".join([*events, self.dialect.end] if self.ends else events)

    def smaller(self) -> "Sequence[Part] | None":
        """Smaller parts that say the same, or None if that is impossible."""
        if len(self.objects) > 1:
            middle = len(self.objects) // 2
            groups = [self.objects[:middle], self.objects[middle:]]
        else:
            made = self.dialect.smaller(self.objects[0]) if self.objects else None
            if made is None:
                return None
            groups = [[item] for item in made]
        *first, last = groups
        return [
            *(replace(self, objects=group, ends=False) for group in first),
            replace(self, objects=last),
        ]


def read(job_input: Json) -> JobInput:
    """Parses a job's `input`, in any form. Raises BadRequest."""
    if not isinstance(job_input, Mapping):
        raise BadRequest(f"input must be a JSON object, not {json_type(job_input)}.", param="input")
    if (names := _routed_by(job_input)) is not None:
        return _routed(job_input, *names)
    body = dict(job_input)
    if body.get("apply_chat_template") is True and "messages" not in body and "prompt" in body:
        body["messages"] = [{"role": "user", "content": _message(body.pop("prompt"))}]
    if "prompt" in body and "messages" not in body:
        body = _with_sampling_params(body, "text")
        if "max_tokens" not in given_fields("text", body):
            body["max_tokens"] = PROMPT_MAX_TOKENS
        return JobInput(route_for("/v1/completions"), body)
    if "input" in body and "messages" not in body:
        body = _with_sampling_params(body, "responses")
        return JobInput(route_for("/v1/responses"), body)
    if _is_message(body):
        return JobInput(route_for("/v1/messages"), _with_sampling_params(body, "messages"))
    body = _with_sampling_params(body, "chat")
    if "messages" not in body:
        raise BadRequest(
            "input must have openai_route and openai_input, messages, prompt, or input.",
            param="input",
        )
    return JobInput(route_for("/v1/chat/completions"), body)


def _is_message(body: Mapping[str, Json]) -> bool:
    """Whether fields at the top are those of Anthropic's Messages and not of a chat completion.

    Many requests are valid in both, such as `{"messages": […], "max_tokens": 100}`; those are chat.
    """
    if not body.keys() >= {"messages", "max_tokens"}:
        return False
    tools = body.get("tools")
    has_schema = isinstance(tools, list) and any(
        isinstance(tool, Mapping) and "input_schema" in tool for tool in tools
    )
    return has_schema or any(body.get(name) for name in _MESSAGES_ONLY)


def _routed_by(job_input: Mapping[str, Json]) -> tuple[str, str] | None:
    """The names of the route and body fields of a form 1 input, or None for other forms."""
    if "openai_route" in job_input:
        return "openai_route", "openai_input"
    bare = "route" in job_input and not job_input.keys() & {"messages", "prompt"}
    return ("route", "body") if bare else None


def _routed(job_input: Mapping[str, Json], route_field: str, body_field: str) -> JobInput:
    route, body = job_input[route_field], job_input.get(body_field) or {}
    if not isinstance(route, str):
        raise BadRequest(
            f"{route_field} must be a string, not {json_type(route)}.", param=route_field
        )
    method = job_input.get("method")
    if method is not None and not isinstance(method, str):
        raise BadRequest(f"method must be a string, not {json_type(method)}.", param="method")
    path, _, query = route.partition("?")
    return JobInput(route_for(path, query=query, method=method), body)


def _message(prompt: Json) -> str:
    """Checks that a prompt can be used as a user message."""
    if not isinstance(prompt, str):
        raise BadRequest(
            f"prompt must be a string if apply_chat_template is true, not {json_type(prompt)}.",
            param="prompt",
        )
    return prompt


def _with_sampling_params(body: Mapping[str, Json], kind: RequestKind) -> dict[str, Json]:
    """Merges `sampling_params`, which RunPod's other workers accept, into `body`; fields of `body`
    take precedence."""
    params = body.get("sampling_params")
    fields = {name: value for name, value in body.items() if name != "sampling_params"}
    if params is None:
        return fields
    if not isinstance(params, Mapping):
        raise BadRequest(
            f"sampling_params must be an object, not {json_type(params)}.", param="sampling_params"
        )
    given = given_fields(kind, fields)
    more = {str(k): v for k, v in params.items() if canonical(kind, str(k)) not in given}
    return {**more, **fields}


async def parts(
    service: Service, job_input: Json, metrics: JobMetrics, problem: WorkerError | None = None
) -> AsyncGenerator[Part]:
    """Yields the parts of a job's answer, in order. Raises JobFailed. `problem`: the reason why the
    job is invalid, if already known. An error that is thrown in (`athrow`), because a part could
    not be delivered, fails the job like any other.
    """
    dialect = DEFAULT
    metrics.note_route(OTHER)
    streams = _asks_to_stream(job_input)
    as_events = streams and _routed_by(job_input) is not None
    exchange: Exchange | None = None
    try:
        job = read(job_input)
        dialect = job.route.dialect
        metrics.note_route(job.route.label)
        exchange = await exchange_of(service, job, problem)
        streams = streams or exchange.streams
        async with aclosing(exchange.answer(metrics)) as batches:
            async for batch in batches:
                ends = isinstance(batch, LastBatch)
                for objects in _grouped(dialect, batch, as_events=as_events):
                    yield Part(dialect, objects, as_events, ends, is_all=not streams)
        metrics.note_answer(200)
    except Exception as error:
        seen = client_error(error, "a job")
        metrics.note_answer(dialect.status(seen))
        if streams:
            failed = exchange.failed(seen) if exchange else [dialect.error(seen)]
            for objects in [failed] if as_events else [[item] for item in failed]:
                yield Part(dialect, objects, as_events)
        raise JobFailed(failure_report(seen, dialect)) from error


def _asks_to_stream(job_input: Json) -> bool:
    """Whether the body, as it was sent, asks for a stream.

    That alone counts for RunPod's OpenAI-compatible URL: it then waits for events, also of an error
    and of an answer that the worker makes at once, such as a count of tokens.
    """
    if not isinstance(job_input, Mapping):
        return False
    names = _routed_by(job_input)
    within = [job_input, job_input.get("sampling_params")]
    asked = [
        each["stream"]
        for each in (within if names is None else [job_input.get(names[1])])
        if isinstance(each, Mapping) and "stream" in each
    ]
    return bool(asked) and asked[0] is True  # not 1, which equals it


async def exchange_of(
    service: Service, job: JobInput, problem: WorkerError | None = None
) -> Exchange:
    """Validates a job. Raises `problem`, if given, or WorkerError."""
    if problem is not None:
        raise problem
    json_depth.check(job.body, "The job's input")
    return await service.read(job.route, job.body)


def _grouped(dialect: Dialect, batch: Batch, *, as_events: bool) -> Sequence[Sequence[Object]]:
    """The objects of each part: all of a batch together as events, or one merged object at a
    time."""
    return [batch] if as_events else [[item] for item in dialect.combine(batch)]

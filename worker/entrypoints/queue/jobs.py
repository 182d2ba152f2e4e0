"""Parses jobs from a job-take response, however deeply their JSON is nested.

Rule: every job with an ID gets an answer; a job that could not be parsed completely carries the
reason. Python's JSON parser fails at about a thousand levels, and the whole batch with it, so
values below the deepest allowed level are removed before parsing.
"""

import json
import logging
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.errors import BadRequest
from worker.json_depth import MAX_DEPTH, Json, too_deep

log = logging.getLogger(__name__)


_MAX_RESPONSE_DEPTH = MAX_DEPTH + 3
"""Levels kept of a response that Python cannot parse: the batch, the job and its input are three
levels around the request body."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as received. `problem` is set if it is already known to be invalid."""

    id: str
    input: Json
    problem: BadRequest | None = None
    take_id: str = field(default_factory=lambda: uuid.uuid4().hex, compare=False)
    """Identifies this delivery of the job, so that idempotency keys differ if the job is taken
    again."""


def parse_jobs(reply: bytes) -> list[Job]:
    """Parses a response: one job or a list of jobs. Raises ValueError if it is not JSON."""
    text, mark = reply.decode(), None
    try:
        value = json.loads(text)
    except RecursionError:
        mark = uuid.uuid4().hex
        value = json.loads(_truncate(text, mark))
    jobs: list[Json] = value if isinstance(value, list) else [value]
    return [_job(job, mark) for job in jobs if _has_id(job)]


def _has_id(job: Json) -> bool:
    if isinstance(job, Mapping) and isinstance(job.get("id"), str) and job["id"]:
        return True
    log.error("received a job without an ID: %.200r", job)
    return False


def _job(job: Mapping[str, Json], mark: str | None) -> Job:
    """A job; in a response that was truncated, those with `mark` at any level are invalid."""
    truncated = mark is not None and _holds(job, mark)
    problem = too_deep("The job's input") if truncated else None
    return Job(job["id"], job.get("input"), problem)


def _holds(value: Json, mark: str) -> bool:
    match value:
        case dict():
            return any(_holds(each, mark) for each in value.values())
        case list():
            return any(_holds(each, mark) for each in value)
        case _:
            return value == mark


def _truncate(text: str, mark: str) -> str:
    """Replaces every value below the deepest allowed level in a JSON text by `mark`."""
    pieces: list[str] = []
    depth = kept_to = 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == _MAX_RESPONSE_DEPTH + 1:
                pieces.append(text[kept_to : token.start()])
        elif token[0] in "]}":
            depth -= 1
            if depth == _MAX_RESPONSE_DEPTH:
                pieces.append(f'"{mark}"')
                kept_to = token.end()
    return "".join([*pieces, text[kept_to:]])

"""Jobs out of a reply to job-take: any JSON is read, however deeply it nests.

Rule: a job that has an id is answered; one that cannot be read whole carries the reason. Python's
JSON reader gives up at about a thousand levels, and a whole batch with it; so what nests deeper
than any job may is cut out before it reads.
"""

import json
import logging
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.errors import BadRequest
from worker.json_depth import DEEPEST, too_deep

log = logging.getLogger(__name__)

Json = Any  # A JSON value from outside.

_DEEPEST = DEEPEST + 3
"""Levels that are read of a reply that Python cannot read whole: a batch, a job and its input are
three around the request's body."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as taken. `problem` is why it cannot be answered, where that is known already."""

    id: str
    input: Json
    problem: BadRequest | None = None
    delivery: str = field(default_factory=lambda: uuid.uuid4().hex, compare=False)
    """Names this delivery of the job: what a second one brings is no repetition of the first's."""


def jobs_in(reply: bytes) -> list[Job]:
    """The jobs of a reply: one object, or a list of them. Raises ValueError for what is no JSON."""
    text, mark = reply.decode(), uuid.uuid4().hex
    try:
        value = json.loads(text)
    except RecursionError:
        value = json.loads(_cut(text, mark))
    jobs: list[Json] = value if isinstance(value, list) else [value]
    return [_job(job, mark) for job in jobs if _has_id(job)]


def _has_id(job: Json) -> bool:
    if isinstance(job, Mapping) and isinstance(job.get("id"), str) and job["id"]:
        return True
    log.error("took a job without an id: %.200r", job)
    return False


def _job(job: Mapping[str, Json], mark: str) -> Job:
    problem = None
    if mark in repr(job):
        problem = too_deep("The job's input")
    return Job(job["id"], job.get("input"), problem)


def _cut(text: str, mark: str) -> str:
    """The JSON text with `mark` in the place of every value below the deepest level."""
    pieces: list[str] = []
    depth = kept_to = 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == _DEEPEST + 1:
                pieces.append(text[kept_to : token.start()])
        elif token[0] in "]}":
            depth -= 1
            if depth == _DEEPEST:
                pieces.append(f'"{mark}"')
                kept_to = token.end()
    return "".join([*pieces, text[kept_to:]])

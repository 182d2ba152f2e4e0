"""A job's statistics from the client's point of view: delay, TTFT, tokens/s, cached tokens.

Rule: times are measured here, from when the worker's POSTs arrive; only the token counts come from
the answer's `usage`, whose fields each API names differently.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from emulator.job import Job, Json

_LAST_CHUNKS = 3
"""`usage` is in one of the last two events, or before [DONE], however they were grouped."""


class Tokens(NamedTuple):
    """Token counts of an answer; None where they are not known (yet)."""

    prompt: int | None = None
    cached: int | None = None
    completion: int | None = None


def statistics(job: Job) -> dict[str, float | int | None]:
    """Values are None where they are not known (yet)."""
    tokens = _tokens(_usage(job))
    taken = job.attempts[0].taken if job.attempts else None
    first = job.chunks[0].at if job.chunks else None
    return {
        "delay_ms": _ms(job.queued.monotonic, taken.monotonic) if taken else None,
        "ttft_ms": _ms(job.queued.monotonic, first.monotonic) if first else None,
        "total_ms": _ms(job.queued.monotonic, job.ended.monotonic) if job.ended else None,
        "prompt_tokens": tokens.prompt,
        "cached_tokens": tokens.cached,
        "completion_tokens": tokens.completion,
        "tokens_per_s": _speed(job, tokens.completion),
    }


_PHASES = {"queued": "queue", "taken": "prompt", "first chunk": "stream", "retried": "queue"}
"""The phase that begins with each kind of event."""


def phases(job: Job) -> list[dict[str, float | str]]:
    """The phases of a job, each with its beginning in ms since submission: waiting in the queue,
    reading the prompt, streaming. A job that is delivered again goes through them again."""
    return [
        {"phase": _PHASES[event.kind], "ms": _ms(job.queued.monotonic, event.at.monotonic)}
        for event in job.events
        if event.kind in _PHASES and event.at.monotonic >= job.queued.monotonic
    ]


def _tokens(usage: Mapping[str, Json]) -> Tokens:
    """The counts of a `usage` object of chat or text completions, Responses, or Messages."""
    match usage:
        case {"prompt_tokens": prompt, "completion_tokens": completion}:
            details = usage.get("prompt_tokens_details") or {}
            return Tokens(prompt, details.get("cached_tokens"), completion)
        case {"input_tokens": uncached, "cache_read_input_tokens": cached, "output_tokens": output}:
            return Tokens(uncached + cached, cached, output)  # Messages count what was not cached
        case {"input_tokens": prompt, "output_tokens": output}:
            details = usage.get("input_tokens_details") or {}
            return Tokens(prompt, details.get("cached_tokens"), output)
        case _:
            return Tokens()


def _speed(job: Job, tokens: int | None) -> float | None:
    """Tokens per second of streaming; of the whole run if the answer is a single chunk."""
    if tokens is None or not job.ended or not job.owner or not job.chunks:
        return None
    streamed = len(job.chunks) > 1
    start = job.chunks[0].at if streamed else job.owner.taken
    seconds = job.chunks[-1].at.monotonic - start.monotonic
    return round(tokens / seconds, 1) if seconds > 0 else None


def _usage(job: Job) -> Mapping[str, Json]:
    for chunk in reversed(job.chunks[-_LAST_CHUNKS:]):
        for item in _objects(chunk.output):
            found = item.get("response", item) if isinstance(item, Mapping) else None
            usage = found.get("usage") if isinstance(found, Mapping) else None
            if isinstance(usage, Mapping):
                return usage
    return {}


def _objects(output: Json) -> Iterator[Json]:
    """The objects of one chunk that may have `usage`."""
    if not isinstance(output, str):
        yield output
        return
    for line in output.splitlines():
        if line.startswith("data: {") and '"usage"' in line:
            with suppress(ValueError):  # a worker under test may stream anything
                yield json.loads(line.removeprefix("data: "))


def _ms(start: float, end: float) -> float:
    return round((end - start) * 1000, 1)

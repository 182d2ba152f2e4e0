"""A job's statistics from the client's point of view: delay, TTFT, tokens/s, cached tokens.

Rule: times are measured here, from when the worker's POSTs arrive; only the token counts come from
the answer's `usage`.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress

from emulator.job import Job, Json

_LAST_CHUNKS = 3
"""`usage` is in the last event before [DONE], however the events were grouped into chunks."""


def statistics(job: Job) -> dict[str, float | int | None]:
    """Values are None where they are not known (yet)."""
    usage = _usage(job)
    taken = job.attempts[0].taken if job.attempts else None
    first = job.chunks[0].at if job.chunks else None
    tokens = usage.get("completion_tokens")
    return {
        "delay_ms": _ms(job.queued.monotonic, taken.monotonic) if taken else None,
        "ttft_ms": _ms(job.queued.monotonic, first.monotonic) if first else None,
        "total_ms": _ms(job.queued.monotonic, job.ended.monotonic) if job.ended else None,
        "prompt_tokens": usage.get("prompt_tokens"),
        "cached_tokens": (usage.get("prompt_tokens_details") or {}).get("cached_tokens"),
        "completion_tokens": tokens,
        "tokens_per_s": _speed(job, tokens),
    }


def _speed(job: Job, tokens: Json) -> float | None:
    """Tokens per second of streaming; of the whole run if the answer is a single chunk."""
    if not isinstance(tokens, int) or not job.ended or not job.owner or not job.chunks:
        return None
    streamed = len(job.chunks) > 1
    start = job.chunks[0].at if streamed else job.owner.taken
    seconds = job.chunks[-1].at.monotonic - start.monotonic
    return round(tokens / seconds, 1) if seconds > 0 else None


def _usage(job: Job) -> Mapping[str, Json]:
    for chunk in reversed(job.chunks[-_LAST_CHUNKS:]):
        for item in _objects(chunk.output):
            usage = item.get("usage") if isinstance(item, Mapping) else None
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

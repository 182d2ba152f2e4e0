"""How far behind the engine is what the queue's clients see, beside workers that proxy to a server?

Three workers (`queue_workers.py`) take the same jobs from the emulator of RunPod's control plane,
which answers a POST after 0, 5, 20 or 80 ms; behind each are the same tokens at the same times:

- `worker`: this project's;
- `blocking proxy`: reads events from an OpenAI-compatible server with `requests`;
- `async proxy`: the same with aiohttp.

All times are taken where the emulator receives the POSTs. A chunk's lag is the time since its first
token came. What it has "over its POST" is the worker's own share of it: the time since the chunk
could be sent, which is when its token had come and the job's previous POST had been answered.

Gaps between chunks do not compare: a proxy that has fallen behind always has a token to send, while
the worker sends all that came during a POST with the next. Nor does the emulator stay idle: it is
one Python process, and a proxy's POSTs take all of its core.
Run: `python -m benchmarks.queue_lag [--quick]`.
"""

import asyncio
import json
import re
import shlex
import statistics
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from benchmarks.harness import Case, Figure, in_turn, percentile, question_parser, save
from benchmarks.processes import Child, python
from benchmarks.queue_workers import HEADER, POST_LOG, UPSTREAM, WORD, WORDS, due
from benchmarks.tables import show

LATENCIES = (0, 5, 20, 80)
"""Milliseconds until the control plane answers a POST."""
STREAMS = (1, 8, 32)
ROUNDS = 2
QUICK_CASES = ((20, 8),)
OURS = "worker"
BLOCKING = "blocking proxy"
SIDES = {OURS: "worker", BLOCKING: "blocking_proxy", "async proxy": "async_proxy"}
START_SECONDS = 120
ROUND_SECONDS = 60
JOB = {
    "openai_route": "/v1/chat/completions",
    "openai_input": {
        "model": "demo",
        "messages": [{"role": "user", "content": "Go."}],
        "stream": True,
    },
}
STAMP = re.compile(r"@(\d+\.\d{6})")
WORKERS = ("-m", "benchmarks.queue_workers")
LAG, OVER, TOTAL = "lag p99", "over its POST p99", "total"

Json = Any


class Chunk(NamedTuple):
    """A part of a job's stream. `at`: when the emulator received it; `text`: what it adds."""

    at: float
    text: str


class Answer(NamedTuple):
    """One job, in seconds of `time.monotonic`."""

    id: str
    queued: float
    ended: float
    chunks: Sequence[Chunk]


class Post(NamedTuple):
    """A POST of a chunk, as the worker saw it: when it was sent and when it was answered."""

    sent: float
    answered: float


Figures = Mapping[str, float]
"""Of one round, by name."""
UNITS = {
    "TTFT": "ms",
    "gap p50": "ms",
    "gap p99": "ms",
    LAG: "ms",
    OVER: "ms",
    TOTAL: "s",
    "POSTs": "POSTs",
}


async def main(cases: Sequence[tuple[int, int]], rounds: int) -> None:
    figures: list[Figure] = []
    async with all_sides() as sides:
        for latency, streams in cases:
            measured = await in_turn(
                {name: partial(side.round, latency, streams) for name, side in sides.items()},
                rounds,
            )
            figures += figures_of(measured, {"streams": streams, "ms per POST": latency})
    show(figures)
    save("queue_lag", figures)


@asynccontextmanager
async def all_sides() -> "AsyncGenerator[Mapping[str, Side]]":
    """The workers, each with an emulator of its own. They start at the same time."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = await stack.enter_async_context(python(*WORKERS, "upstream"))
        upstream = await server.url(START_SECONDS)
        sides: dict[str, Side] = {}
        for name, process in SIDES.items():
            post_log = folder / process
            post_log.touch()
            environment = environment_of(process, upstream, post_log)
            emulator = await stack.enter_async_context(python("-m", "emulator", **environment))
            client = await stack.enter_async_context(httpx.AsyncClient(timeout=ROUND_SECONDS))
            sides[name] = Side(emulator, client, post_log)
        for side in sides.values():
            await side.ready()
        yield sides


def environment_of(process: str, upstream: str, post_log: Path) -> Mapping[str, str]:
    """Of an emulator with one worker."""
    return {
        "PORT": "0",
        "WORKERS": "1",
        "WORKER_COMMAND": shlex.join([sys.executable, *WORKERS, process]),
        "PING_LIMIT_S": "3600",
        "RUNPOD_LOG_LEVEL": "ERROR",
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
        UPSTREAM: upstream,
        POST_LOG: str(post_log),
    }


class Side:
    """A worker, and its emulator. `post_log`: see `queue_workers.py`; empty for the proxies."""

    def __init__(self, emulator: Child, client: httpx.AsyncClient, post_log: Path) -> None:
        self._emulator = emulator
        self._client = client
        self._post_log = post_log

    async def ready(self) -> None:
        """Waits until the worker takes jobs. Raises ProcessFailed."""
        self._client.base_url = await self._emulator.url(START_SECONDS)
        await self._emulator.until(self._is_ready, START_SECONDS, "a ready worker")

    async def _is_ready(self) -> bool:
        (worker,) = (await self._get("/workers"))["workers"]
        if worker["state"] == "exited":
            raise self._emulator.failed("its worker has exited")
        return worker["state"] in ("idle", "running")

    async def round(self, latency: int, streams: int) -> Figures:
        """Runs `streams` jobs at once. Raises ProcessFailed if one does not answer."""
        slow = {"latency_ms": latency}
        await self._client.put("/faults", json={"stream": slow, "done": slow})
        await asyncio.gather(*(self._submit() for _ in range(streams)))
        try:
            await self._emulator.until(self._has_ended, ROUND_SECONDS, f"{streams} answers")
            records = [await self._get(f"/jobs/{each['id']}") for each in await self._jobs()]
            answers = [answer_of(record) for record in records]
        except Exception as error:
            error.add_note("\n".join(await self._worker_log()))
            raise
        finally:
            await self._client.delete("/jobs")
        return figures_of_round(answers, posts_in(self._post_log))

    async def _submit(self) -> None:
        (await self._client.post("/v2/demo/run", json={"input": JOB})).raise_for_status()

    async def _has_ended(self) -> bool:
        jobs = (await self._get("/v2/demo/health"))["jobs"]
        return not jobs["inQueue"] and not jobs["inProgress"]

    async def _jobs(self) -> Sequence[Json]:
        return (await self._get("/jobs"))["jobs"]

    async def _worker_log(self) -> Sequence[str]:
        (worker,) = (await self._get("/workers"))["workers"]
        return (await self._get(f"/workers/{worker['id']}/log"))["lines"][-30:]

    async def _get(self, path: str) -> Json:
        return (await self._client.get(path)).raise_for_status().json()


def answer_of(record: Json) -> Answer:
    """A job's record at the emulator. Raises ValueError if it is not the whole answer."""
    (attempt,) = record["attempts"]
    chunks = [Chunk(each["monotonic"], text_of(each["output"])) for each in attempt["chunks"]]
    said = "".join(chunk.text for chunk in chunks)
    if STAMP.sub("", said) != WORD * WORDS or attempt["refused"]:
        raise ValueError(f"not the answer: {record['state']}, {record['error']}, {said!r}")
    ended = record["ended"]["monotonic"]
    return Answer(record["id"], record["queued"]["monotonic"], ended, chunks)


def text_of(events: str) -> str:
    """What server-sent events add to a chat completion's text."""
    chunks = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: {")]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def posts_in(post_log: Path) -> Mapping[str, Sequence[Post]]:
    """The POSTs of each job, in order."""
    posts: dict[str, list[Post]] = {}
    for line in post_log.read_text().splitlines():
        job, sent, answered = line.split()
        posts.setdefault(job, []).append(Post(float(sent), float(answered)))
    return posts


def first_tokens(chunks: Sequence[Chunk]) -> Iterator[float | None]:
    """When the first token of each chunk came; None for a chunk without text.

    What came before the text, the header's tokens, is never sent and is not counted.
    """
    stamped = STAMP.search("".join(chunk.text for chunk in chunks))
    assert stamped
    number = HEADER
    for chunk in chunks:
        tokens = chunk.text.count(WORD) + len(STAMP.findall(chunk.text))
        yield due(float(stamped[1]), number) if tokens else None
        number += tokens


def lags(answer: Answer) -> list[float]:
    """Of each chunk with text: seconds from when its first token came until it was received."""
    return [
        chunk.at - came
        for chunk, came in zip(answer.chunks, first_tokens(answer.chunks), strict=True)
        if came is not None
    ]


def over_posts(answer: Answer, posts: Sequence[Post]) -> list[float]:
    """Of each chunk with text: seconds from when it could be sent until it was.

    Example: its token came at 1.000, but the POST before it was answered at 1.020. It could be sent
    at 1.020; sent at 1.021, it was 1 ms late.
    """
    free = answer.queued
    found: list[float] = []
    for came, post in zip(first_tokens(answer.chunks), posts, strict=True):
        if came is not None:
            found.append(post.sent - max(came, free))
        free = post.answered
    return found


def figures_of_round(answers: Sequence[Answer], posts: Mapping[str, Sequence[Post]]) -> Figures:
    """`posts`: those of the worker under test, if it wrote them down."""
    with_text = [[chunk.at for chunk in each.chunks if chunk.text] for each in answers]
    gaps = [1e3 * (later - at) for times in with_text for at, later in pairwise(times)]
    late = [1e3 * lag for each in answers for lag in lags(each)]
    figures = {
        "TTFT": statistics.median(
            1e3 * (times[0] - each.queued) for each, times in zip(answers, with_text, strict=True)
        ),
        "gap p50": percentile(gaps, 50),
        "gap p99": percentile(gaps, 99),
        LAG: percentile(late, 99),
        TOTAL: max(each.ended for each in answers) - min(each.queued for each in answers),
        "POSTs": float(sum(len(each.chunks) + 1 for each in answers)),  # and the result
    }
    if posts:
        over = [1e3 * late for each in answers for late in over_posts(each, posts[each.id])]
        figures[OVER] = percentile(over, 99)
    return figures


def figures_of(measured: Mapping[str, Sequence[Figures]], case: Case) -> list[Figure]:
    return [
        Figure(name, side, UNITS[name], case, [each[name] for each in rounds])
        for side, rounds in measured.items()
        for name in rounds[0]
    ]


if __name__ == "__main__":
    quick = question_parser("queue_lag", __doc__).parse_args().quick
    grid = [(latency, streams) for streams in STREAMS for latency in LATENCIES]
    asyncio.run(main(QUICK_CASES if quick else grid, 1 if quick else ROUNDS))

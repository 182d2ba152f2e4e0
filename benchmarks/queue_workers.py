"""The workers of the queue's benchmark, and the server behind two of them.

All get the same tokens at the same times, from an engine that costs nothing: `SPEED` tokens a
second for each stream, whether anybody reads them or not. The worker has this engine in its
process; the proxies read OpenAI's chunks from a server that has it. They are written as RunPod's
workers for vLLM and SGLang are: a generator on RunPod's SDK, which posts each event that it yields.

An answer begins with "@" and the time when its generation began, on the clock that all processes of
a machine share (`time.monotonic`). So whoever has its chunks knows when their tokens came.

Run by `queue_lag.py`: `python -m benchmarks.queue_workers NAME`.
"""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from types import SimpleNamespace
from typing import Any

from benchmarks.api_cost import ListEngine
from worker.generation import Sampling, Step

SPEED = 200
"""Tokens per second of each stream, about what one on a fast GPU gets."""
HEADER = 3
"""Tokens before the text: `<|channel|>final<|message|>`. They are never sent."""
WORDS = 50
WORD = " go"
"""One token."""
TOKENS = HEADER + 1 + WORDS + 1
"""With the time, which counts as one, and the end."""
CONCURRENCY = 64
"""Jobs that a proxy takes at once."""
UPSTREAM = "UPSTREAM_URL"
"""The variable with the URL of the proxies' server."""
POST_LOG = "POST_LOG"
"""The variable with the file in which the worker writes each POST of a chunk: a line with the job,
when it was sent and when it was answered, in seconds of `time.monotonic`."""

Json = Any
Event = str
Job = Mapping[str, Any]


def due(start: float, number: int) -> float:
    """When a token comes, in a generation that began at `start`. The first is number 0."""
    return start + (number + 1) / SPEED


async def arrivals(start: float) -> AsyncGenerator[int]:
    """How many tokens have come, whenever there are more than at the last time."""
    count = 0
    while count < TOKENS:
        await asyncio.sleep(due(start, count) - time.monotonic())
        come = min(TOKENS, int((time.monotonic() - start) * SPEED))
        if come > count:
            count = come
            yield count


class SteadyEngine(ListEngine):
    """Generates at `SPEED`; what was not taken in time comes in one step."""

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        del sampling, rid
        start, taken = time.monotonic(), 0
        tokens = script(start)
        async with aclosing(arrivals(start)) as counts:
            async for count in counts:
                ids = [token for group in tokens[taken:count] for token in group]
                reason = "stop" if count == TOKENS else None
                yield Step(ids, reason, len(prompt_ids), 0, count)
                taken = count


def script(start: float) -> list[list[int]]:
    """The ids of each token; the time has several."""
    from worker.harmony.vocabulary import CHANNEL, MESSAGE, RETURN, encode

    header = [[CHANNEL], encode("final"), [MESSAGE]]
    return [*header, encode(stamp(start)), *[encode(WORD)] * WORDS, [RETURN]]


def stamp(start: float) -> str:
    return f"@{start:.6f}"


def worker() -> None:
    """Our worker, on the engine above."""
    from worker.entrypoints import queue
    from worker.entrypoints.queue import control_plane
    from worker.model import Model
    from worker.service import Service
    from worker.settings import Settings

    session = control_plane.AsyncClientSession
    control_plane.AsyncClientSession = partial(session, trace_configs=[posts_noted()])
    settings = Settings(model="demo", log_level="warning")
    queue.run(
        Service(SteadyEngine(), Model("x", ("demo",), 131_072, on_cpu=True), settings), settings
    )


def posts_noted() -> Any:
    """aiohttp's hooks that write `POST_LOG`."""
    import aiohttp

    log = open(os.environ[POST_LOG], "a", buffering=1)  # noqa: SIM115, PTH123 - until the end

    async def started(_session: Any, context: SimpleNamespace, request: Any) -> None:
        context.path = request.url.path

    async def sent(_session: Any, context: SimpleNamespace, _chunk: Any) -> None:
        context.sent = time.monotonic()

    async def ended(_session: Any, context: SimpleNamespace, _request: Any) -> None:
        if "/job-stream/" in context.path:
            job = context.path.rpartition("/")[2]
            log.write(f"{job} {context.sent} {time.monotonic()}\n")

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(started)
    trace.on_request_chunk_sent.append(sent)
    trace.on_request_end.append(ended)
    return trace


def blocking_proxy() -> None:
    """Reads the events with `requests`: while it waits for one, the SDK's loop stands still."""
    import requests

    url = os.environ[UPSTREAM]
    session = requests.Session()

    async def handler(job: Job) -> AsyncGenerator[Event]:
        given = job["input"]
        with session.post(
            url + given["openai_route"], json=given["openai_input"], stream=True
        ) as response:
            for line in response.iter_lines():
                if line:
                    yield line.decode() + "\n\n"

    start_sdk(handler)


def async_proxy() -> None:
    """Reads the events with aiohttp, and yields each."""
    import aiohttp

    url = os.environ[UPSTREAM]

    async def handler(job: Job) -> AsyncGenerator[Event]:
        given = job["input"]
        async with (
            aiohttp.ClientSession() as session,
            session.post(url + given["openai_route"], json=given["openai_input"]) as response,
        ):
            async for line in response.content:
                if line.strip():
                    yield line.decode().strip() + "\n\n"

    start_sdk(handler)


def start_sdk(handler: Callable[[Job], AsyncGenerator[Event]]) -> None:
    import runpod.serverless

    runpod.serverless.start(
        {
            "handler": handler,
            "concurrency_modifier": lambda _current: CONCURRENCY,
            "return_aggregate_stream": True,
        }
    )


def upstream() -> None:
    """The proxies' server: it answers each chat completion with the engine's tokens."""
    import uvicorn
    import uvloop
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    async def chat(_request: Request) -> StreamingResponse:
        return StreamingResponse(events(time.monotonic()), media_type="text/event-stream")

    app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
    listener = socket.create_server(("127.0.0.1", 0), backlog=CONCURRENCY)
    print(f"ready at http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    uvloop.run(uvicorn.Server(config).serve([listener]))


async def events(start: float) -> AsyncGenerator[Event]:
    """The chunks of an answer, one for each token."""
    texts = [stamp(start), *[WORD] * WORDS]
    made = [*(event({"content": text}, None) for text in texts), event({}, "stop")]
    sent = 0
    async with aclosing(arrivals(start)) as counts:
        async for count in counts:
            for each in made[sent : max(0, count - HEADER)]:
                yield each
            sent = max(0, count - HEADER)
    yield "data: [DONE]\n\n"


def event(delta: Json, reason: str | None) -> Event:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "demo"}
    return f"data: {json.dumps({**chunk, 'choices': [choice], 'usage': None})}\n\n"


PROCESSES = {each.__name__: each for each in (worker, blocking_proxy, async_proxy, upstream)}

if __name__ == "__main__":
    PROCESSES[sys.argv[1]]()

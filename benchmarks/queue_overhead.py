"""What the queue entrypoint adds to the bare engine: to one stream, to 16 streams, per token.

Rule: one run with one engine, in one process that is the worker as handler.py runs it; the emulator
is another process. Lag is the time from the engine's output of a token until the emulator receives
the POST that carries it, on the same clock.
Run: `python -m benchmarks.queue_overhead`.
"""

import asyncio
import contextvars
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

import httpx

from benchmarks.bare_engine import bare
from emulator.pool import environment
from worker.engine import SglangEngine, server_args
from worker.generation import Sampling, Step
from worker.model import resolve
from worker.service import Service
from worker.settings import Settings

BODY = {
    "messages": [{"role": "user", "content": "Count to one hundred"}],
    "temperature": 0,
    "stream": True,
}
STREAMS = 16
ROUNDS = 3

waiting: contextvars.ContextVar[list[float]] = contextvars.ContextVar("waiting")
"""When the engine produced the tokens that this job has not sent yet."""


class StampedEngine(SglangEngine):
    """Records when SGLang's output reaches this process, before it is consumed."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__(arguments)
        self._made: dict[str, list[tuple[int, float]]] = {}

    async def start(self) -> None:
        await super().start()
        manager = self._engine.tokenizer_manager
        hand_on = manager._hand_on

        def stamped(output: Any) -> None:
            now = time.monotonic()
            for rid, count in zip(output.rids, output.completion_tokens, strict=True):
                self._made.setdefault(rid, []).append((count, now))
            hand_on(output)

        manager._hand_on = stamped

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        seen = 0
        waiting.set([])
        async with aclosing(super().generate(prompt_ids, sampling, rid)) as steps:
            async for step in steps:
                made = [at for count, at in self._made.get(rid, ()) if count > seen]
                waiting.set([*waiting.get([]), *made[:1]])
                seen = step.completion_tokens
                yield step


class Sent(NamedTuple):
    """One POST: when the engine produced its oldest token, and how many seconds the POST took."""

    made: float | None
    took: float


def main() -> None:
    home = tempfile.mkdtemp()
    emulator = subprocess.Popen(
        [sys.executable, "-m", "emulator"],
        env={**os.environ, "PORT": "0", "WORKERS": "0", "PING_LIMIT_S": "3600"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert emulator.stdout
    url = emulator.stdout.readline().rpartition(" ")[2].strip()
    os.environ.update(environment(f"{url}/v2/demo", "bench", home, 10_000))
    os.environ["RUNPOD_LOG_LEVEL"] = "ERROR"
    try:
        work(url)
    finally:
        emulator.terminate()
        emulator.wait()


def work(url: str) -> None:
    """Runs the worker in this process's main thread, and its clients in another thread."""
    from worker.entrypoints import queue
    from worker.entrypoints.queue import control_plane
    from worker.entrypoints.queue import worker as queue_worker

    sent: dict[str, list[Sent]] = {}
    send_part = control_plane.ControlPlane.send_part

    async def noted(self: Any, job: Any, part: Any, key: str) -> AsyncGenerator[Any]:
        made, started = waiting.get([]), time.monotonic()
        waiting.set([])
        async for piece in send_part(self, job, part, key):
            yield piece
        took = time.monotonic() - started
        sent.setdefault(job.id, []).append(Sent(min(made, default=None), took))

    bare_seconds: list[float] = []

    class Worker(queue_worker.QueueWorker):
        async def _serve(self, plane: Any) -> None:
            engine: Any = self._service.engine
            for _ in range(ROUNDS + 1):
                started = time.monotonic()
                await asyncio.gather(*(bare(engine, BODY) for _ in range(STREAMS)))
                bare_seconds.append(time.monotonic() - started)
            threading.Thread(target=drive, args=(url, bare_seconds[1:], sent)).start()
            await super()._serve(plane)

    control_plane.ControlPlane.send_part = noted
    queue.QueueWorker = Worker
    settings = Settings(model="demo", log_level="error")
    model = resolve(settings)
    engine = StampedEngine(server_args(settings, model))
    queue.run(Service(engine, model, settings), settings)


def drive(url: str, bare_seconds: list[float], sent: dict[str, list[Sent]]) -> None:
    client = httpx.Client(base_url=url, timeout=60)
    try:
        report(client, bare_seconds, sent)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


def report(client: httpx.Client, bare_seconds: list[float], sent: dict[str, list[Sent]]) -> None:
    run(client, 1)  # warm-up
    singles: dict[int, list[list[dict[str, Any]]]] = {0: [], 20: []}
    for _ in range(ROUNDS):
        for latency, rounds in singles.items():
            client.put("/faults", json={"stream": {"latency_ms": latency}}).raise_for_status()
            rounds.append(run(client, 1))
    client.delete("/faults").raise_for_status()
    concurrent = [run(client, STREAMS) for _ in range(ROUNDS)]
    fast, slow = (statistics.median(duration(jobs) for jobs in singles[ms]) for ms in (0, 20))
    print(f"one stream, medians of {ROUNDS}: {fast:.2f} s with 0 ms per POST,")
    print(f"{slow:.2f} s with 20 ms: {slow / fast:.3f}x ({slow - 1.1 * fast:+.2f} s over 1.1x)")
    for latency, rounds in singles.items():
        print(f"lag in ms with {latency} ms per POST: {lags([j for r in rounds for j in r], sent)}")
    print(f"lag in ms of {STREAMS} streams: {lags([j for r in concurrent for j in r], sent)}")
    ours = statistics.median(map(duration, concurrent))
    alone = statistics.median(bare_seconds)
    print(f"{STREAMS} streams: {ours:.2f} s, bare engine {alone:.2f} s: {ours / alone:.2f}x")


def run(client: httpx.Client, count: int) -> list[dict[str, Any]]:
    """Runs `count` concurrent jobs. Returns their records."""
    bodies = [client.post("/v2/demo/run", json={"input": BODY}).json() for _ in range(count)]
    while client.get("/v2/demo/health").json()["jobs"]["inProgress"] or any(
        client.get(f"/v2/demo/status/{body['id']}").json()["status"] == "IN_QUEUE"
        for body in bodies
    ):
        time.sleep(0.1)
    return [client.get(f"/jobs/{body['id']}").json() for body in bodies]


def duration(jobs: list[dict[str, Any]]) -> float:
    """Seconds from the first job's delivery to the last job's end."""
    taken = min(job["attempts"][0]["taken"]["monotonic"] for job in jobs)
    return max(job["ended"]["monotonic"] for job in jobs) - taken


def lags(jobs: list[dict[str, Any]], sent: dict[str, list[Sent]]) -> str:
    """Percentiles of the lag, and of how much it exceeds the duration of the previous POST."""
    lag: list[float] = []
    over: list[float] = []
    for job in jobs:
        before = 0.0
        for chunk, post in zip(job["attempts"][0]["chunks"], sent[job["id"]], strict=True):
            if post.made is not None:
                lag.append((chunk["monotonic"] - post.made) * 1000)
                over.append(lag[-1] - before * 1000)
            before = post.took
    p50, p99 = (statistics.quantiles(lag, n=100)[at] for at in (49, 98))
    beyond = statistics.quantiles(over, n=100)[98]
    return (
        f"p50 {p50:.1f}, p99 {p99:.1f}; beyond the previous POST: p99 {beyond:.1f} "
        f"({len(lag)} POSTs)"
    )


if __name__ == "__main__":
    main()

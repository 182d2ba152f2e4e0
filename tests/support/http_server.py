"""A running HTTP server for tests: its own event loop in a thread, a real socket on loopback.

The engine is scripted and can be made to wait: for tests of the server alone.
"""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
import uvloop

from tests.support.scripted_engine import ScriptedEngine, tokens
from worker.engine import Sampling, Step
from worker.entrypoints.http.server import create_server
from worker.model import Model
from worker.service import Service
from worker.settings import Settings

T = TypeVar("T")
CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
ANSWER = tokens("<|channel|>final<|message|>one two three four five<|return|>")


def until(condition: Callable[[], object], seconds: float = 30) -> float:
    """Waits until `condition()` is true. Returns the seconds it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds
        time.sleep(0.005)
    return time.monotonic() - started


class GatedEngine(ScriptedEngine):
    """Generates `free` steps, and later ones only when the gate is open.

    `open` are the running requests, `cancelled` those closed before their end.
    """

    def __init__(self, script: Sequence[int] = ANSWER, *, free: int = 1_000_000) -> None:
        super().__init__(script, context_length=100_000)
        self.gate = asyncio.Event()
        self.free = free
        self.open: set[str] = set()
        self.cancelled: list[str] = []

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        made, ended = 0, False
        self.open.add(rid)
        steps = super().generate(prompt_ids, sampling, rid)
        try:
            while True:
                if made >= self.free:
                    await self.gate.wait()
                step = await anext(steps, None)
                if step is None:
                    ended = True
                    return
                made += 1
                yield step
        finally:
            await steps.aclose()
            self.open.discard(rid)
            if not ended:
                self.cancelled.append(rid)


class RunningServer:
    """A running server. `client` sends requests to it; `run` runs a coroutine on its loop."""

    def __init__(self, engine: ScriptedEngine, **settings: Any) -> None:
        self.engine = engine
        settings.setdefault("drain_seconds", 1)
        self.settings = Settings(**settings)
        model = Model("x", ("demo", "gpt-oss"), 50_000, on_cpu=True)
        self.service = Service(engine, model, self.settings)
        self.server = create_server(self.service, self.settings)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"
        self.client = httpx.Client(base_url=self.url, timeout=20)
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        with self._runner:
            self._runner.run(self.server.serve([self._listener]))

    def start(self) -> None:
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def call(self, function: Any) -> None:
        self._loop.call_soon_threadsafe(function)

    def stop(self) -> None:
        self.client.close()
        self.server.stop()
        self._thread.join()

    def connect(self, data: bytes = b"") -> socket.socket:
        """A raw connection that has sent `data`."""
        connection = socket.create_connection(self.address, timeout=20)
        connection.sendall(data)
        return connection


@contextmanager
def running(
    engine: ScriptedEngine | None = None, *, ready: bool = True, **settings: Any
) -> Generator[RunningServer]:
    """Runs a server with `engine`, which is started if `ready`."""
    server = RunningServer(engine or GatedEngine(), **settings)
    server.start()
    try:
        if ready:
            server.run(server.engine.start())
        yield server
    finally:
        server.stop()

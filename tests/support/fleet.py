"""Several workers in turn, as in a serverless fleet: a client's next request reaches another one.

The workers are processes without an engine (scripted_clients_server). They share nothing and
remember nothing unless their settings say so: a turn's reasoning is kept by the client alone.
"""

import asyncio
import itertools
import json
import socket
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.support.http_server import until
from tests.support.serving import Serving
from tests.support.turns import Turn, recorded

ALONE = {"REASONING_MEMORY_MB": "0", "RESPONSE_STORE": "off"}
"""Settings with which a worker remembers nothing of a request once it is answered."""
SERVER = "tests.support.scripted_clients_server"
METHODS = ["GET", "POST", "DELETE", "HEAD"]
HOP_BY_HOP = {"host", "connection", "content-length", "transfer-encoding", "date"}


class Routed(NamedTuple):
    """A request that the proxy passed on: to which worker, and what the client sent."""

    worker: int
    method: str
    path: str
    body: dict[str, Any]


class RoundRobin:
    """A reverse proxy on loopback: each POST goes to the next worker, anything else to the first.

    Answers are passed on as they arrive, errors included. `routed` lists the requests.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls
        self._next = itertools.cycle(range(len(urls)))
        self.routed: list[Routed] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        app = Starlette(routes=[Route("/{path:path}", self._forward, methods=METHODS)])
        self._server = uvicorn.Server(
            uvicorn.Config(app, lifespan="off", log_config=None, server_header=False)
        )
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()

    def _serve(self) -> None:
        asyncio.run(self._with_client())

    async def _with_client(self) -> None:
        async with httpx.AsyncClient(timeout=120) as self._client:
            await self._server.serve([self._listener])

    async def _forward(self, request: Request) -> Response:
        worker = next(self._next) if request.method == "POST" else 0
        body = await request.body()
        path = request.url.path
        self.routed.append(Routed(worker, request.method, path, _json(body)))
        answer = await self._client.send(
            self._client.build_request(
                request.method,
                f"{self._urls[worker]}{path}?{request.url.query}",
                headers=_end_to_end(request.headers),
                content=body,
            ),
            stream=True,
        )
        return StreamingResponse(
            _passed_on(answer), answer.status_code, _end_to_end(answer.headers)
        )


async def _passed_on(answer: httpx.Response) -> AsyncGenerator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}


def _json(body: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        return json.loads(body)
    return {}


class Fleet:
    """Workers behind a round-robin proxy. As a context manager, it runs until it is left.

    `folder` takes their logs and turns. `settings` are those of all workers, and `each` those of
    each one in addition; there are as many workers as entries in it. The API
    is at `url` and its key is `secret-key`, unless the settings say otherwise.
    """

    def __init__(
        self, folder: Path, each: Sequence[Mapping[str, str]] = ({}, {}), **settings: str
    ) -> None:
        self._folder = folder
        self._settings = {**ALONE, **settings}
        self._each = each
        self.workers: list[Serving] = []

    def __enter__(self) -> Self:
        with ExitStack() as running:
            for number in range(len(self._each)):
                self.workers.append(worker := self._start(number))
                running.callback(worker.end)
            until(lambda: all(worker.ping() == 200 for worker in self.workers), 600)
            proxy = RoundRobin([worker.url for worker in self.workers])
            self._proxy = running.enter_context(proxy)
            self._running = running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _start(self, number: int) -> Serving:
        settings = {**self._settings, **self._each[number]}
        turns = str(self._turns(number))
        return Serving(self._folder / f"log-{number}", SERVER, "--turns", turns, **settings)

    def _turns(self, number: int) -> Path:
        return self._folder / f"turns-{number}.jsonl"

    @property
    def url(self) -> str:
        """The proxy's address; the workers' own are at `workers[i].url`."""
        return self._proxy.url

    def turns(self) -> list[Turn]:
        """All turns so far, over all workers, in the order in which they began."""
        return recorded(self._turns(number) for number in range(len(self._each)))

    def routed(self) -> list[Routed]:
        """All requests so far, in the order in which they came."""
        return list(self._proxy.routed)

    def metric(self, sample: str) -> float:
        """The sum of a Prometheus sample over the workers, 0 where one has none of it.

        `sample` is written as /metrics writes it: `gpt_oss_reasoning_total{source="lost"}`.
        """
        pages = [worker.client.get("/metrics").text for worker in self.workers]
        lines = [line for page in pages for line in page.splitlines()]
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{sample} "))

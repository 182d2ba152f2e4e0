"""The client process of the benchmarks: what it asks, and what it takes for an answer."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from benchmarks.api_cost import BODIES, ListEngine
from benchmarks.memory import LOOP, body, serving
from benchmarks.stream_client import read, read_streams
from worker.harmony.vocabulary import encoding
from worker.model import Model
from worker.service import Service
from worker.settings import Settings


def with_server(use: Callable[[int], Coroutine[Any, Any, None]], ids: list[int]) -> None:
    """Calls `use` with the port of a worker whose engine generates `ids`."""

    async def run() -> None:
        engine = ListEngine()
        engine.ids = ids
        async with serving(Service(engine, Model("x", ("m",), 131072), Settings())) as port:
            await use(port)

    asyncio.run(run())


@pytest.mark.parametrize("path", BODIES)
def test_a_stream_is_read_to_its_end(path: str) -> None:
    """Of each API."""
    ids = encoding().encode(LOOP, allowed_special="all")
    with_server(lambda port: read(port, path, body(path)), ids)


def test_an_error_ends_the_benchmark() -> None:
    """Here, a path that does not exist."""
    with pytest.raises(AssertionError, match="404"):
        with_server(lambda port: read(port, "/nowhere", {}), [])


def test_streams_of_a_process_of_their_own() -> None:
    """Two streams, each of which makes three requests."""
    ids = encoding().encode(LOOP, allowed_special="all")
    requests = [(path, body(path)) for path in BODIES]
    with_server(lambda port: read_streams(port, 2, 3, requests), ids)

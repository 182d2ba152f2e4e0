"""The engine port: what the worker asks of whatever generates tokens.

Rule: every engine keeps the contract suite, tests/worker/engine/test_port.py; the one that ships is
`SglangEngine`, and tests bring another.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, Protocol, runtime_checkable

from worker.generation import Sampling, Step


class Health(Enum):
    STARTING = "starting"
    READY = "ready"
    DEAD = "dead"


class Engine(Protocol):
    """What the worker asks of an engine. tests/worker/engine/test_port.py says it in full."""

    async def start(self) -> None:
        """Boots; returns when requests can be served. Raises ServerError if that fails."""
        ...

    def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        """Generates after `prompt_ids`, at least one step, the last with a finish reason.

        `rid` names the request and must be unique. Raises BadRequest, EngineOverloaded,
        EngineDead or ServerError. Closing the generator aborts the generation.
        """
        ...

    def abort(self, rid: str) -> None:
        """Ends a request early; nothing happens if it is not running."""
        ...

    def health(self) -> Health: ...

    async def close(self) -> None:
        """Ends the engine and every process that it started."""
        ...


class Load(NamedTuple):
    """How busy an engine is. Ratios are between 0 and 1."""

    running: int
    queued: int
    kv_usage: float
    prefix_hits: float


@runtime_checkable
class Measured(Protocol):
    """What an engine may say of itself besides, for those who watch it."""

    def load(self) -> Load: ...

    def boot_seconds(self) -> Mapping[str, float]:
        """How long each phase of the boot took."""
        ...

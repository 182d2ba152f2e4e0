"""The interface that the worker requires of an engine.

Rule: every engine must pass the contract tests, tests/worker/engine/test_port.py. `SglangEngine` is
the one in production; tests have another.
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
    """What generates tokens. The contract is specified in tests/worker/engine/test_port.py."""

    async def start(self) -> None:
        """Starts the engine; returns when it is ready. Raises ServerError if that fails."""
        ...

    def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        """Generates a completion of `prompt_ids` in one or more steps.

        Only the last step has a finish reason. `rid` is the request's ID and must be unique. Raises
        BadRequest, EngineOverloaded, EngineDead or ServerError. Closing the generator aborts the
        generation.
        """
        ...

    def abort(self, rid: str) -> None:
        """Aborts a request. Does nothing if it is not running."""
        ...

    def health(self) -> Health: ...

    async def close(self) -> None:
        """Stops the engine and every process that it started."""
        ...


class Load(NamedTuple):
    """The load of an engine.

    `kv_usage`: the used fraction of the KV cache. `prefix_hits`: the fraction of the last prefill's
    tokens that came from the prefix cache.
    """

    running: int
    queued: int
    kv_usage: float
    prefix_hits: float


@runtime_checkable
class MeasurableEngine(Protocol):
    """Optional methods of an engine, for monitoring."""

    def load(self) -> Load: ...

    def boot_seconds(self) -> Mapping[str, float]:
        """The duration of each startup phase."""
        ...

"""The interface that the worker requires of an engine.

Rule: every engine must pass the contract tests, tests/worker/engine/test_port.py. `SglangEngine` is
the one in production; tests have another.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
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


WarmUpRequest = tuple[Sequence[int], Sampling]
"""A prompt's token IDs, and how to continue it."""


class Load(NamedTuple):
    """The load of an engine.

    `kv_usage`: the used fraction of the KV cache. `prefix_hits`: the fraction of the last prefill's
    tokens that came from the prefix cache.
    """

    running: int
    queued: int
    kv_usage: float
    prefix_hits: float


class Capacity(NamedTuple):
    """What a started engine can hold, in tokens.

    `context_length`: the longest request, prompt and completion, of the context asked for.
    `kv_tokens`: the KV cache, of all requests together.
    """

    context_length: int
    kv_tokens: int


@runtime_checkable
class MeasurableEngine(Protocol):
    """Optional methods of an engine, for monitoring."""

    def load(self) -> Load: ...

    def capacity(self) -> Capacity: ...

    def boot_seconds(self) -> Mapping[str, float]:
        """The duration of each startup phase."""
        ...


@runtime_checkable
class ModelLoadingEngine(Protocol):
    """Optional methods of an engine that loads a model from files. Called before `start`."""

    def use_files(self, folder: Path) -> None:
        """Sets the folder to load the model from."""
        ...

    def warm_up_with(self, requests: Callable[[], Sequence[WarmUpRequest]]) -> None:
        """Sets what makes the requests to generate before the engine is ready. It is called in a
        thread while the engine starts."""
        ...

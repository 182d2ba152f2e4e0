"""Checks that must pass before a worker takes its first request.

Each check raises ServerError with a one-line message, and uses no more resources than it needs:
the SDK's own checks would compete with the running engine for GPU memory. Every entrypoint runs
all of them: the queue through RunPod's SDK, the others through `run_checks`.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from worker.engine import visible_gpus
from worker.errors import ServerError
from worker.model import Model
from worker.service import Service
from worker.settings import Settings

log = logging.getLogger(__name__)

Check = Callable[[], Coroutine[Any, Any, None]]


def checks(service: Service, settings: Settings) -> Sequence[Check]:
    """The checks, in order. The last one starts the engine, which then generates one token."""

    async def gpu_is_visible() -> None:
        await asyncio.to_thread(check_gpus, settings, service.model)

    async def model_files_are_complete() -> None:
        await asyncio.to_thread(check_files, Path(service.model.path))

    async def engine_starts() -> None:
        await boot(service)

    return gpu_is_visible, model_files_are_complete, engine_starts


async def run_checks(service: Service, settings: Settings) -> None:
    """Runs all checks, ending with the engine's start. Raises ServerError."""
    for check in checks(service, settings):
        await check()


async def boot(service: Service) -> None:
    """Starts the engine and logs how long it took. Raises ServerError."""
    log.info("starting the engine for %s", service.model.names[0])
    started = time.monotonic()
    await service.engine.start()
    log.info("engine ready after %.1f s", time.monotonic() - started)


def check_gpus(settings: Settings, model: Model) -> None:
    """Checks that TENSOR_PARALLEL_SIZE GPUs are visible; the demo model needs none.

    Raises ServerError.
    """
    wanted = 0 if model.on_cpu else settings.tensor_parallel_size or 1
    if (visible := visible_gpus()) < wanted:
        raise ServerError(f"{wanted} GPUs are required, but only {visible} are visible.")


def check_files(folder: Path) -> None:
    """Checks that every weights file in the model's index exists and is complete.

    Does nothing if the model is not in a local directory: the Hugging Face client downloads and
    checks it then. Raises ServerError.
    """
    if not folder.is_dir():
        return
    index = folder / "model.safetensors.index.json"
    if index.exists():
        names = set(json.loads(index.read_text())["weight_map"].values())
    else:
        names = {path.name for path in folder.glob("*.safetensors")}
    if not names:
        raise ServerError(f"The model directory {folder} contains no weights.")
    for name in sorted(names):
        check_weights(folder / name)


def check_weights(path: Path) -> None:
    """Checks that a file has the size that its header implies. Raises ServerError.

    Source: the safetensors format: 8 bytes with the header's size, a JSON header, the tensors.
    """
    if not path.exists():
        raise ServerError(f"The model file {path.name} is missing.")
    with path.open("rb") as file:
        head = file.read(8)
        length = int.from_bytes(head, "little")
        actual = path.stat().st_size
        header = file.read(length) if len(head) == 8 and length < actual else b"{}"
    tensors = [v for k, v in json.loads(header).items() if k != "__metadata__"]
    expected = 8 + length + max((t["data_offsets"][1] for t in tensors), default=0)
    if actual != expected:
        raise ServerError(f"The model file {path.name} has {actual} of {expected} bytes.")

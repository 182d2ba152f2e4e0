"""What must be true before a worker takes its first request.

Rule: each check raises ServerError with one line for a person, and needs no more than it checks:
the SDK's own checks would fight the booted engine for the GPU's memory. Every entrypoint makes them
all: the queue through RunPod's SDK, the others by `ready`.
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
    """The checks in their order; the last one boots the engine, which answers one token then."""

    async def gpu_is_visible() -> None:
        await asyncio.to_thread(check_gpus, settings, service.model)

    async def model_files_are_whole() -> None:
        await asyncio.to_thread(check_files, Path(service.model.path))

    async def engine_boots() -> None:
        await boot(service)

    return gpu_is_visible, model_files_are_whole, engine_boots


async def ready(service: Service, settings: Settings) -> None:
    """Makes all checks, the engine's boot the last of them. Raises ServerError."""
    for check in checks(service, settings):
        await check()


async def boot(service: Service) -> None:
    """Boots the engine, saying how long it took."""
    log.info("booting the engine for %s", service.model.names[0])
    started = time.monotonic()
    await service.engine.start()
    log.info("engine ready after %.1f s", time.monotonic() - started)


def check_gpus(settings: Settings, model: Model) -> None:
    """As many GPUs as TENSOR_PARALLEL_SIZE asks for; the demo model needs none."""
    wanted = 0 if model.on_cpu else settings.tensor_parallel_size or 1
    if (visible := visible_gpus()) < wanted:
        raise ServerError(f"{wanted} GPUs are wanted and {visible} are visible.")


def check_files(folder: Path) -> None:
    """Every file of weights that the model's index names is there, with all its bytes.

    A model that is not in a folder yet is fetched, and checked, by the hub's client.
    Source: the safetensors format: 8 bytes of header size, a JSON header, the tensors.
    """
    if not folder.is_dir():
        return
    index = folder / "model.safetensors.index.json"
    if index.exists():
        names = set(json.loads(index.read_text())["weight_map"].values())
    else:
        names = {path.name for path in folder.glob("*.safetensors")}
    if not names:
        raise ServerError("The model's folder holds no weights.")
    for name in sorted(names):
        check_weights(folder / name)


def check_weights(path: Path) -> None:
    """A file is as long as its header says."""
    if not path.exists():
        raise ServerError(f"The model's file {path.name} is missing.")
    with path.open("rb") as file:
        head = file.read(8)
        length = int.from_bytes(head, "little")
        actual = path.stat().st_size
        header = file.read(length) if len(head) == 8 and length < actual else b"{}"
    tensors = [v for k, v in json.loads(header).items() if k != "__metadata__"]
    expected = 8 + length + max((t["data_offsets"][1] for t in tensors), default=0)
    if actual != expected:
        raise ServerError(f"The model's file {path.name} has {actual} of {expected} bytes.")

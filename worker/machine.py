"""This machine: its GPUs and what else SGLang needs of it, as the doctor and the boot see it.

GPUs are read through NVML (the driver's library, which nvidia-smi uses, too), so that neither CUDA
nor torch is initialised and no GPU memory is taken. A machine without an NVIDIA driver has no GPUs.
"""

import importlib.util
import logging
import os
import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pynvml

from worker.model.gpus import GIB, GPUS, Gpu

log = logging.getLogger(__name__)

CUDA_CONTEXT = GIB // 2
"""What a process's CUDA context takes before SGLang measures free memory: an estimate."""

IMAGE_CUDA = (13, 0)
"""The CUDA of SGLang's image."""

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - it is looked at, not written to
LEAST_SHARED_MEMORY = GIB
"""NVIDIA's NCCL guide starts containers with --shm-size=1g; Docker's default is 64 MiB."""


@dataclass(frozen=True, slots=True)
class Driver:
    """NVIDIA's driver, and the newest CUDA that it runs."""

    version: str
    cuda: tuple[int, int]


@contextmanager
def _nvml() -> Generator[bool]:
    """Whether NVML could be opened; a driver that is there but broken is logged."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if error.args != (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,):
            log.warning("the NVIDIA driver cannot be used: %s", error)
        yield False
        return
    try:
        yield True
    finally:
        pynvml.nvmlShutdown()


def installed_gpus(visible: str | None = None) -> tuple[Gpu, ...]:
    """The GPUs that CUDA sees, in its order; `visible` is CUDA_VISIBLE_DEVICES."""
    with _nvml() as is_open:
        if not is_open:
            return ()
        try:
            handles = [
                pynvml.nvmlDeviceGetHandleByIndex(index)
                for index in range(pynvml.nvmlDeviceGetCount())
            ]
            if visible is not None:
                uuids = [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]
                handles = [handles[index] for index in visible_indices(visible, uuids)]
            return tuple(_gpu(handle) for handle in handles)
        except pynvml.NVMLError as error:
            log.warning("the GPUs cannot be read: %s", error)
            return ()


def visible_indices(visible: str, uuids: Sequence[str]) -> list[int]:
    """The GPUs that CUDA_VISIBLE_DEVICES names, by index or by the beginning of a UUID.

    Like CUDA, it stops at the first name that is none.
    """
    found: list[int] = []
    for name in (part.strip() for part in visible.split(",")):
        if name.isdecimal() and int(name) < len(uuids):
            found.append(int(name))
        elif name and (same := [i for i, uuid in enumerate(uuids) if uuid.startswith(name)]):
            found.append(same[0])
        else:
            break
    return found


def _gpu(handle: object) -> Gpu:
    name = pynvml.nvmlDeviceGetName(handle)
    memory: Any = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
    known = next((gpu.name for gpu in GPUS if name in gpu.other_names), name)
    return Gpu(
        name=known,
        capability=pynvml.nvmlDeviceGetCudaComputeCapability(handle),
        total=memory.total,
        free=max(0, memory.free - CUDA_CONTEXT),
        used=memory.used,
    )


def driver() -> Driver | None:
    """The driver, if there is one."""
    with _nvml() as is_open:
        if not is_open:
            return None
        cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        return Driver(pynvml.nvmlSystemGetDriverVersion(), (cuda // 1000, cuda % 1000 // 10))


def machine_findings(gpus: Sequence[Gpu], tp: int) -> Iterator[str]:
    """What is wrong with this machine besides its GPUs' size, each in one line."""
    yield from driver_findings(driver())
    if tp > 1:
        yield from shared_memory_findings(_size_of(SHARED_MEMORY))
    yield from compiler_findings()
    if any(gpu.is_blackwell for gpu in gpus[:tp]):
        yield from flashinfer_findings()


def driver_findings(found: Driver | None) -> Iterator[str]:
    if found and found.cuda < IMAGE_CUDA:
        yield (
            f"The NVIDIA driver {found.version} runs CUDA {_dotted(found.cuda)} at most, and the "
            f"image has {_dotted(IMAGE_CUDA)}: choose {_dotted(IMAGE_CUDA)} as RunPod's CUDA "
            "version."
        )


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def shared_memory_findings(size: int) -> Iterator[str]:
    if size < LEAST_SHARED_MEMORY:
        yield (
            f"{SHARED_MEMORY} has {size >> 20} MiB, and several GPUs exchange data through it: "
            "start the container with --shm-size=1g or more."
        )


def _size_of(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    system = os.statvfs(folder)
    return system.f_frsize * system.f_blocks


def compiler_findings(path: str | None = None) -> Iterator[str]:
    """SGLang compiles some kernels at first use. `path`: where to look, instead of PATH."""
    missing = [name for name in ("nvcc", "ninja", "c++") if not shutil.which(name, path=path)]
    if missing:
        yield (
            f"SGLang compiles kernels at first use, but cannot find {', '.join(missing)}: "
            "put them on PATH."
        )


def flashinfer_findings() -> Iterator[str]:
    """gpt-oss's experts run in FlashInfer on Blackwell, whose kernels take ten minutes to compile.

    Source: sglang-omni issue 1194 (678 s for the first call without flashinfer-jit-cache).
    """
    packages = ("flashinfer_jit_cache", "flashinfer_cubin")
    if not any(importlib.util.find_spec(name) for name in packages):
        yield (
            "FlashInfer's kernels for Blackwell are not installed here: the first start compiles "
            "them for ten minutes: set RUNPOD_INIT_TIMEOUT=1800, or install flashinfer-jit-cache."
        )

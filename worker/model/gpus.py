"""The GPUs that RunPod rents out, as far as the memory formula and the doctor need to know them.

Sources: names, IDs and pools are RunPod's (docs.runpod.io/references/gpu-types; GpuGroup in
runpod/flash, src/runpod_flash/core/resources/gpu.py). Compute capabilities are NVIDIA's
(developer.nvidia.com/cuda-gpus). `total_mib` is what nvidia-smi shows. `free_gib` is what is left
of it for SGLang: NVML leaves out what the driver reserves (0.3 to 0.7 GiB; more with ECC memory),
and the process's CUDA context takes another 0.5 GiB.
"""

import difflib
import re
from dataclasses import dataclass

GIB = 1 << 30
MIB = 1 << 20


class UnknownGpu(ValueError):
    """No GPU has this name. The message is one line, with names that are similar."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A kind of GPU, or one that is in this machine.

    `capability`: NVIDIA's compute capability; None for other vendors' GPUs. `total`, `free`: bytes
    of memory; free is before SGLang loads anything. `pool`: RunPod's serverless pool, if it is in
    one. `other_names`: RunPod's GPU IDs, which are also NVML's names, and its display names.
    `used`: what other processes have of a GPU in this machine.
    """

    name: str
    capability: tuple[int, int] | None
    total: int
    free: int
    pool: str = ""
    other_names: tuple[str, ...] = ()
    used: int = 0

    @property
    def is_blackwell(self) -> bool:
        return self.capability is not None and self.capability[0] >= 10


def _gpu(
    name: str,
    capability: tuple[int, int] | None,
    total_mib: int,
    free_gib: float,
    pool: str,
    *other_names: str,
) -> Gpu:
    return Gpu(name, capability, total_mib * MIB, int(free_gib * GIB), pool, other_names)


GPUS: tuple[Gpu, ...] = (
    _gpu("Tesla V100", (7, 0), 16384, 15.1, "", "Tesla V100-PCIE-16GB", "Tesla V100-SXM2-16GB"),
    _gpu("RTX A4000", (8, 6), 16376, 15.1, "AMPERE_16", "NVIDIA RTX A4000"),
    _gpu("RTX 2000 Ada", (8, 9), 16380, 15.1, "AMPERE_16", "NVIDIA RTX 2000 Ada Generation"),
    _gpu("RTX A4500", (8, 6), 20470, 19.1, "AMPERE_16", "NVIDIA RTX A4500"),
    _gpu("RTX 4000 Ada", (8, 9), 20475, 19.1, "AMPERE_16", "NVIDIA RTX 4000 Ada Generation"),
    _gpu("L4", (8, 9), 23034, 21.6, "AMPERE_24", "NVIDIA L4"),
    _gpu("RTX A5000", (8, 6), 24564, 23.2, "AMPERE_24", "NVIDIA RTX A5000"),
    _gpu("RTX 3090", (8, 6), 24576, 23.2, "AMPERE_24", "NVIDIA GeForce RTX 3090"),
    _gpu("RTX 4090", (8, 9), 24564, 23.1, "ADA_24", "NVIDIA GeForce RTX 4090"),
    _gpu("RTX 5090", (12, 0), 32607, 30.9, "ADA_32_PRO", "NVIDIA GeForce RTX 5090"),
    _gpu("A40", (8, 6), 46068, 43.9, "AMPERE_48", "NVIDIA A40"),
    _gpu("RTX A6000", (8, 6), 49140, 47.0, "AMPERE_48", "NVIDIA RTX A6000"),
    _gpu("L40", (8, 9), 46068, 43.9, "ADA_48_PRO", "NVIDIA L40"),
    _gpu("L40S", (8, 9), 46068, 43.9, "ADA_48_PRO", "NVIDIA L40S"),
    _gpu("RTX 6000 Ada", (8, 9), 49140, 47.0, "ADA_48_PRO", "NVIDIA RTX 6000 Ada Generation"),
    _gpu(
        "A100 80GB", (8, 0), 81920, 78.7, "AMPERE_80",
        "NVIDIA A100 80GB PCIe", "NVIDIA A100-SXM4-80GB", "A100 PCIe", "A100 SXM", "A100",
    ),
    _gpu(
        "H100 80GB", (9, 0), 81559, 78.6, "ADA_80_PRO",
        "NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe", "H100 SXM", "H100",
    ),
    _gpu("H100 NVL", (9, 0), 95830, 92.5, "ADA_80_PRO", "NVIDIA H100 NVL"),
    _gpu(
        "RTX PRO 6000", (12, 0), 97887, 94.4, "BLACKWELL_96",
        "NVIDIA RTX PRO 6000 Blackwell Server Edition",
        "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
    ),
    _gpu("H200", (9, 0), 143771, 139.2, "HOPPER_141", "NVIDIA H200", "H200 SXM"),
    _gpu("B200", (10, 0), 183359, 177.8, "BLACKWELL_180", "NVIDIA B200"),
    _gpu("MI300X", None, 196592, 190.7, "", "AMD Instinct MI300X OAM"),
)  # fmt: skip


def gpu_named(name: str) -> Gpu:
    """The GPU with this name, in any of its spellings. Raises UnknownGpu."""
    spellings = {_plain(each): gpu for gpu in GPUS for each in (gpu.name, *gpu.other_names)}
    asked = _plain(name)
    if asked in spellings:
        return spellings[asked]
    parts = [gpu.name for key, gpu in spellings.items() if asked and asked in key]
    close = [spellings[key].name for key in difflib.get_close_matches(asked, spellings, n=3)]
    similar = list(dict.fromkeys([*parts, *close]))[:3]
    if similar:
        raise UnknownGpu(f"Unknown GPU {name!r}; did you mean {' or '.join(similar)}?")
    raise UnknownGpu(f"Unknown GPU {name!r}; known are {', '.join(gpu.name for gpu in GPUS)}.")


def _plain(name: str) -> str:
    """Without what tells no two GPUs apart: vendor, brands, case, spaces."""
    words = re.sub(r"nvidia|geforce|rtx|generation|amd", "", name.casefold())
    return re.sub(r"[^a-z0-9]", "", words)

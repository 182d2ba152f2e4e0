"""Processes on machines with made-up GPUs: the driver's library is replaced (nvml.c)."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import ROOT

SOURCE = Path(__file__).with_name("nvml.c")

H100 = "NVIDIA H100 80GB HBM3|9|0|81559|570|80989"
RTX_4090 = "NVIDIA GeForce RTX 4090|8|9|24564|407|24157"
L4 = "NVIDIA L4|8|9|23034|404|22630"
B200 = "NVIDIA B200|10|0|183359|900|182459"
"""Name, compute capability, and MiB of memory: in all, reserved by the driver, free."""


@dataclass(frozen=True)
class MadeUpDriver:
    """The library's folder, and what to run with it."""

    folder: Path

    def run(
        self,
        command: Sequence[str],
        gpus: Sequence[str],
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs Python with `command` on a machine with these GPUs."""
        return subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env={**self.environment(gpus), **(environment or {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def environment(self, gpus: Sequence[str]) -> dict[str, str]:
        dropped = ("MODEL", "CUDA_VISIBLE_DEVICES")
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        return {**kept, "LD_LIBRARY_PATH": str(self.folder), "FAKE_GPUS": "\n".join(gpus)}


def build(folder: Path) -> MadeUpDriver:
    """Compiles the library. Skips the test where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build the made-up driver with")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    return MadeUpDriver(folder)

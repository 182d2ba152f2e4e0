"""What is known of this machine: its GPUs through NVML, and what else SGLang needs."""

import json
from pathlib import Path

import pytest

from tests.support import made_up_gpus
from tests.support.made_up_gpus import B200, H100, L4, RTX_4090, MadeUpDriver
from worker import machine
from worker.machine import Driver
from worker.model.gpus import GIB, MIB, gpu_named

READ = """
import json, dataclasses, logging, sys
from worker import machine
logging.basicConfig(format="%(message)s")
gpus = machine.installed_gpus(sys.argv[1] if len(sys.argv) > 1 else None)
print(json.dumps([[gpu.name, gpu.capability, gpu.total, gpu.free, gpu.used] for gpu in gpus]))
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> MadeUpDriver:
    return made_up_gpus.build(tmp_path_factory.mktemp("driver"))


def names(driver: MadeUpDriver, gpus: list[str], visible: str) -> list[str]:
    return [gpu[0] for gpu in json.loads(driver.run(["-c", READ, visible], gpus).stdout)]


def test_gpus_are_read_through_nvml(driver: MadeUpDriver) -> None:
    """By RunPod's names; free is what the driver leaves, less half a GiB for the CUDA context."""
    read = json.loads(driver.run(["-c", READ], [H100, RTX_4090]).stdout)
    assert read == [
        ["H100 80GB", [9, 0], 81559 * MIB, (80989 - 512) * MIB, 0],
        ["RTX 4090", [8, 9], 24564 * MIB, (24157 - 512) * MIB, 0],
    ]
    assert read[0][3] == pytest.approx(gpu_named("H100 80GB").free, rel=0.01)
    assert read[1][3] == pytest.approx(gpu_named("RTX 4090").free, rel=0.01)


def test_a_gpu_that_is_not_runpods_keeps_its_name(driver: MadeUpDriver) -> None:
    """What is in use is told apart from what the driver reserves."""
    read = json.loads(driver.run(["-c", READ], ["NVIDIA A10G|8|6|23028|300|2728"]).stdout)
    assert read == [["NVIDIA A10G", [8, 6], 23028 * MIB, (2728 - 512) * MIB, 20000 * MIB]]


def test_only_the_gpus_that_cuda_sees_count(driver: MadeUpDriver) -> None:
    """CUDA_VISIBLE_DEVICES: indices or UUIDs, in its order, up to the first that is none."""
    gpus = [H100, RTX_4090, L4, B200]
    assert names(driver, gpus, "2") == ["L4"]
    assert names(driver, gpus, "3, 0") == ["B200", "H100 80GB"]
    assert names(driver, gpus, "GPU-1,GPU-0") == ["RTX 4090", "H100 80GB"]
    assert names(driver, gpus, "1,9,0") == ["RTX 4090"]
    assert names(driver, gpus, "MIG-7") == []


def test_a_machine_without_a_driver_has_no_gpus(tmp_path: Path) -> None:
    """And nothing is said about it."""
    bare = MadeUpDriver(tmp_path).run(["-c", READ], [H100])
    assert (bare.stdout.strip(), bare.stderr) == ("[]", "")


def test_a_broken_driver_is_said_in_one_line(driver: MadeUpDriver) -> None:
    """NVML's own words."""
    broken = driver.run(["-c", READ], [H100], {"FAKE_ERROR": "18"})
    assert broken.stdout.strip() == "[]"
    assert broken.stderr.startswith("the NVIDIA driver cannot be used: RM has detected an NVML/RM")
    assert broken.stderr.count("\n") == 1


def test_a_driver_too_old_for_the_image_is_said() -> None:
    """With what to choose on RunPod."""
    assert list(machine.driver_findings(Driver("570.86.10", (12, 8)))) == [
        (
            "The NVIDIA driver 570.86.10 runs CUDA 12.8 at most, and the image has 13.0: choose "
            "13.0 as RunPod's CUDA version."
        )
    ]
    assert list(machine.driver_findings(Driver("580.65.06", (13, 0)))) == []
    assert list(machine.driver_findings(None)) == []


def test_too_little_shared_memory_is_said() -> None:
    """64 MiB is what Docker gives a container."""
    (finding,) = machine.shared_memory_findings(64 * MIB)
    assert finding.startswith(f"{machine.SHARED_MEMORY} has 64 MiB, and several GPUs")
    assert finding.endswith(": start the container with --shm-size=1g or more.")
    assert list(machine.shared_memory_findings(GIB)) == []


def test_missing_compilers_are_named(tmp_path: Path) -> None:
    """SGLang needs them at the first request, if its kernels are not in its cache."""
    tool = tmp_path / "c++"
    tool.touch(0o755)
    assert list(machine.compiler_findings(str(tmp_path))) == [
        "SGLang compiles kernels at first use, but cannot find nvcc, ninja: put them on PATH."
    ]
    for name in ("nvcc", "ninja"):
        (tmp_path / name).touch(0o755)
    assert list(machine.compiler_findings(str(tmp_path))) == []


def test_kernels_that_flashinfer_would_compile_are_said() -> None:
    """This environment has none of them."""
    (finding,) = machine.flashinfer_findings()
    assert "RUNPOD_INIT_TIMEOUT=1800" in finding

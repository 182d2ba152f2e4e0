"""The wheel that `pip install .` makes, in an environment that has neither SGLang nor the checkout.

Rule: it is built from a copy, since setuptools leaves its own folders beside the sources.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from builder.setup import PYTHON, VENV
from tests.support import ROOT
from worker import __version__

PARTS = ("pyproject.toml", "README.md", "LICENSE", "worker", "emulator", "builder")
"""What the build sees. Of these, only worker/ belongs in the wheel."""


def output_of(*command: str | Path, folder: Path) -> str:
    """Run without the MODEL that `make` exports."""
    ran = subprocess.run(
        command,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "MODEL"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("package")
    sources = folder / "sources"
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        sources.mkdir(exist_ok=True)
        copy(ROOT / name, sources / name)
    uv = VENV / "bin" / "uv"
    output_of(uv, "build", "--quiet", "--wheel", "--out-dir", folder, folder=sources)
    (wheel,) = folder.glob("*.whl")
    output_of(uv, "venv", "--quiet", "--python", PYTHON, "environment", folder=folder)
    python = folder / "environment" / "bin" / "python"
    output_of(uv, "pip", "install", "--quiet", "--python", python, wheel, folder=folder)
    return python


@pytest.mark.slow
def test_the_doctor_runs(python: Path, tmp_path: Path) -> None:
    """Its version is the package's, and it knows about GPUs without SGLang."""
    version = output_of(python, "-m", "worker.doctor", "--version", folder=tmp_path)
    assert version == f"gpt-oss-worker {__version__}\n"
    fits = output_of(python, "-m", "worker.doctor", "--gpu", "RTX 4090", folder=tmp_path)
    assert fits.startswith("gpt-oss-20b fits on RTX 4090")


@pytest.mark.slow
def test_a_deployment_can_be_planned(python: Path, tmp_path: Path) -> None:
    """Without a key."""
    plan = output_of(
        *(python, "-m", "worker.deploy", "20b", "--image", "ghcr.io/a/b:c", "--print"),
        folder=tmp_path,
    )
    assert '"url"' in plan


@pytest.mark.slow
def test_the_wheel_has_the_worker_alone(python: Path, tmp_path: Path) -> None:
    """With Harmony's vocabulary, so that nothing is downloaded at start."""
    program = (
        "from importlib.util import find_spec\n"
        "from worker.harmony.vocabulary import encode\n"
        "assert encode('Hello') and not find_spec('sglang')\n"
        "assert not find_spec('emulator') and not find_spec('builder')\n"
    )
    output_of(python, "-c", program, folder=tmp_path)

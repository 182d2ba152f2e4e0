"""Creates the CPU environment: `.venv` with pinned packages, SGLang's stand-ins, the demo model.

Rule: `make` runs it with the system's Python, so it and what it imports know only the standard
library. It is idempotent: each part has a stamp file that records what it was made from.
The CPU build of torch comes from a folder of wheels if pip's configuration names one that has it,
otherwise from PyTorch's CPU index.
"""

import hashlib
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from worker.command import CommandParser

ROOT = Path(__file__).parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = ROOT / "builder" / "cpu" / "requirements.txt"
STAND_INS = ROOT / "builder" / "cpu" / "stand_ins"
DEMO_MODEL = ROOT / ".demo-model"
UV = "uv==0.13.9"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"


def main() -> None:
    environment()
    run(PYTHON, "-m", "builder.demo.build", DEMO_MODEL)


def environment() -> None:
    """Creates `.venv`, again if its requirements or its path have changed."""
    stamp = VENV / "made-from"
    made_from = f"{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()} {UV} {VENV}"
    if stamp.exists() and stamp.read_text() == made_from:
        return
    started = time.monotonic()
    print(f"Creating {VENV.name}: this downloads up to 3.1 GB.", file=sys.stderr)
    if not PYTHON.exists():
        run(sys.executable, "-m", "venv", VENV)
        run(PYTHON, "-m", "pip", "install", "--quiet", UV)
    run(
        *(VENV / "bin" / "uv", "pip", "install", "--python", PYTHON),
        *("--no-deps", "--compile-bytecode", *torch_source(), "-r", REQUIREMENTS),
    )
    place_stand_ins()
    stamp.write_text(made_from)
    print(f"environment ready in {time.monotonic() - started:.0f} s", file=sys.stderr)


def torch_source() -> list[str]:
    """The options with which uv finds torch's CPU build: uv does not read pip's configuration."""
    folders = wheel_folders()
    if any(list(Path(folder).glob("torch-*cpu*.whl")) for folder in folders):
        return [option for folder in folders for option in ("--find-links", folder)]
    return ["--extra-index-url", TORCH_INDEX, "--index-strategy", "unsafe-best-match"]


def wheel_folders() -> list[str]:
    """The `find-links` folders in pip's configuration."""
    configured = subprocess.run(
        [PYTHON, "-m", "pip", "config", "get", "global.find-links"],
        capture_output=True,
        check=False,  # it fails if nothing is configured
        text=True,
    ).stdout
    return shlex.split(os.environ.get("PIP_FIND_LINKS") or configured)


def place_stand_ins() -> None:
    """Puts the stand-ins on the path of this environment only."""
    (site,) = (VENV / "lib").glob("python3*/site-packages")
    (site / "gpt_oss_worker_cpu.pth").write_text(f"{STAND_INS}\nimport sglang_cpu_environment\n")


def run(*command: object) -> None:
    """Runs a command in the project's root. Raises CalledProcessError."""
    arguments = [str(argument) for argument in command]
    print("+", shlex.join(arguments), file=sys.stderr)
    subprocess.run(arguments, cwd=ROOT, check=True)


if __name__ == "__main__":
    CommandParser("python -m builder.setup", __doc__).parse_args()
    main()

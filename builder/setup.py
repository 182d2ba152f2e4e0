"""Makes the CPU environment: `.venv` with pinned packages, SGLang's stand-ins, the demo model.

Rule: run by `make` with the system's Python, so it imports nothing but the standard library. Run
again, it does nothing: each part keeps a stamp of what it was made from.
The CPU build of torch comes from a folder of wheels where pip's own configuration names one, else
from PyTorch's CPU index.
"""

import hashlib
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

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
    """The `.venv`, made anew when its requirements or its place changed."""
    stamp = VENV / "made-from"
    made_from = f"{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()} {UV} {VENV}"
    if stamp.exists() and stamp.read_text() == made_from:
        return
    started = time.monotonic()
    if not PYTHON.exists():
        run(sys.executable, "-m", "venv", VENV)
        run(PYTHON, "-m", "pip", "install", "--quiet", UV)
    run(
        *(VENV / "bin" / "uv", "pip", "install", "--quiet", "--python", PYTHON),
        *("--no-deps", "--compile-bytecode", *torch_source(), "-r", REQUIREMENTS),
    )
    place_stand_ins()
    stamp.write_text(made_from)
    print(f"environment ready in {time.monotonic() - started:.0f} s", file=sys.stderr)


def torch_source() -> list[str]:
    """uv's options that find the CPU build of torch: uv does not read pip's configuration."""
    folders = wheel_folders()
    if any(list(Path(folder).glob("torch-*cpu*.whl")) for folder in folders):
        return [option for folder in folders for option in ("--find-links", folder)]
    return ["--extra-index-url", TORCH_INDEX, "--index-strategy", "unsafe-best-match"]


def wheel_folders() -> list[str]:
    """The folders of wheels that pip's own configuration names."""
    configured = subprocess.run(
        [PYTHON, "-m", "pip", "config", "get", "global.find-links"],
        capture_output=True,
        check=False,  # it fails where nothing is configured
        text=True,
    ).stdout
    return shlex.split(os.environ.get("PIP_FIND_LINKS") or configured)


def place_stand_ins() -> None:
    """Puts the stand-ins on this environment's path, and on no other's."""
    (site,) = (VENV / "lib").glob("python3*/site-packages")
    (site / "gpt_oss_worker_cpu.pth").write_text(f"{STAND_INS}\nimport sglang_cpu_environment\n")


def run(*command: object) -> None:
    words = [str(word) for word in command]
    print("+", shlex.join(words), file=sys.stderr)
    subprocess.run(words, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()

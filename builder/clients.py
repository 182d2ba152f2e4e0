"""Creates the environments of tests/clients: one per client, in `.clients`, with pinned packages.

They are separate from `.venv`, since they need other versions of openai than SGLang pins. The
JavaScript clients' is created only if npm is installed, next to their scripts, where node looks for
it.
Rule: idempotent, like builder/setup.py, which must have run before: `.venv` has uv.
"""

import hashlib
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from builder.setup import PYTHON, ROOT, VENV, run
from worker.command import CommandParser

CLIENTS = ROOT / ".clients"
REQUIREMENTS = ROOT / "tests" / "clients" / "requirements"
NPM = [ROOT / "tests" / "clients" / folder for folder in ("node", "cli")]


def main() -> None:
    for pins in sorted(REQUIREMENTS.glob("*.txt")):
        folder = CLIENTS / pins.stem
        make_once(folder, pins, partial(python_environment, folder, pins))
    if npm := shutil.which("npm"):
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--silent")
        for folder in NPM:
            make = partial(run, npm, "ci", "--prefix", folder, *options)
            make_once(folder / "node_modules", folder / "package-lock.json", make)


def make_once(folder: Path, pins: Path, make: Callable[[], None]) -> None:
    """Creates an environment, unless it exists with the same pins and path."""
    stamp = folder / "made-from"
    made_from = f"{hashlib.sha256(pins.read_bytes()).hexdigest()} {folder}"
    if stamp.exists() and stamp.read_text() == made_from:
        return
    started = time.monotonic()
    make()
    stamp.write_text(made_from)
    seconds = time.monotonic() - started
    print(f"{folder.relative_to(ROOT)} ready in {seconds:.0f} s", file=sys.stderr)


def python_environment(folder: Path, pins: Path) -> None:
    uv = VENV / "bin" / "uv"
    python = folder / "bin" / "python"
    run(uv, "venv", "--quiet", "--clear", "--python", PYTHON, folder)
    run(uv, "pip", "sync", "--quiet", "--compile-bytecode", "--python", python, pins)


if __name__ == "__main__":
    CommandParser("python -m builder.clients", __doc__).parse_args()
    main()

"""Makes the environments of tests/clients: one for each client, in `.clients`, with its pins.

They are apart from `.venv`, since they want other versions of openai than SGLang pins. That of the
client for JavaScript is made where there is npm, beside its script, where node looks for it.
Rule: as builder/setup.py, whose `.venv` has uv: run again, it does nothing.
"""

import hashlib
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from builder.setup import PYTHON, ROOT, VENV, run

CLIENTS = ROOT / ".clients"
REQUIREMENTS = ROOT / "tests" / "clients" / "requirements"
NODE = ROOT / "tests" / "clients" / "node"


def main() -> None:
    for pins in sorted(REQUIREMENTS.glob("*.txt")):
        place = CLIENTS / pins.stem
        make_once(place, pins, partial(python_environment, place, pins))
    if npm := shutil.which("npm"):
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--silent")
        make = partial(run, npm, "ci", "--prefix", NODE, *options)
        make_once(NODE / "node_modules", NODE / "package-lock.json", make)


def make_once(place: Path, pins: Path, make: Callable[[], None]) -> None:
    """Makes an environment, unless it is there and its pins and its place are the same."""
    stamp = place / "made-from"
    made_from = f"{hashlib.sha256(pins.read_bytes()).hexdigest()} {place}"
    if stamp.exists() and stamp.read_text() == made_from:
        return
    started = time.monotonic()
    make()
    stamp.write_text(made_from)
    seconds = time.monotonic() - started
    print(f"{place.relative_to(ROOT)} ready in {seconds:.0f} s", file=sys.stderr)


def python_environment(place: Path, pins: Path) -> None:
    uv = VENV / "bin" / "uv"
    python = place / "bin" / "python"
    run(uv, "venv", "--quiet", "--clear", "--python", PYTHON, place)
    run(uv, "pip", "sync", "--quiet", "--compile-bytecode", "--python", python, pins)


if __name__ == "__main__":
    main()

"""Makes the environments of tests/clients: one for each client, in `.clients`, with its pins.

They are apart from `.venv`, since they want other versions of openai than SGLang pins.
Rule: as builder/setup.py, whose `.venv` has uv: run again, it does nothing.
"""

import hashlib
import sys
import time
from pathlib import Path

from builder.setup import PYTHON, ROOT, VENV, run

CLIENTS = ROOT / ".clients"
REQUIREMENTS = ROOT / "tests" / "clients" / "requirements"


def main() -> None:
    for pins in sorted(REQUIREMENTS.glob("*.txt")):
        environment(pins)


def environment(pins: Path) -> None:
    """The environment of a client, made anew when its pins or its place changed."""
    place = CLIENTS / pins.stem
    stamp = place / "made-from"
    made_from = f"{hashlib.sha256(pins.read_bytes()).hexdigest()} {place}"
    if stamp.exists() and stamp.read_text() == made_from:
        return
    started = time.monotonic()
    uv = VENV / "bin" / "uv"
    run(uv, "venv", "--quiet", "--clear", "--python", PYTHON, place)
    run(
        *(uv, "pip", "sync", "--quiet", "--python", place / "bin" / "python"),
        *("--compile-bytecode", pins),
    )
    stamp.write_text(made_from)
    print(f"{place.name} ready in {time.monotonic() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()

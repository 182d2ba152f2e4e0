"""`python -m emulator` runs the emulator on loopback until SIGINT or SIGTERM.

Its settings are environment variables (emulator/settings.py): PORT, WORKERS, WORKER_COMMAND, …
"""

import argparse
import asyncio
import shlex
import signal
import sys

from pydantic import ValidationError

from emulator import __version__
from emulator.server import running
from emulator.settings import Settings

JSON_DEPTH = 20_000
"""Recursion limit: jobs nested thousands of levels deep must reach the worker under test."""


async def serve(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(settings) as url:
        print(f"RunPod emulator ready at {url}", flush=True)
        await stop.wait()
        print("Stopping the emulator and its workers.", file=sys.stderr)


def main() -> int:
    """Runs the emulator. Returns the process's exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m emulator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gpt-oss-worker {__version__}")
    _, unknown = parser.parse_known_args()
    if unknown:
        parser.exit(2, f"{parser.prog}: unrecognized arguments: {' '.join(unknown)}\n")
    try:
        settings = Settings()
    except ValidationError as error:
        for wrong in error.errors():
            name = str(wrong["loc"][0])
            must_be = Settings.model_fields[name.lower()].description
            print(f"{name.upper()} must be {must_be}, got {wrong['input']!r}", file=sys.stderr)
        return 2
    sys.setrecursionlimit(JSON_DEPTH)
    try:
        asyncio.run(serve(settings))
    except OSError as error:
        if error.filename:  # what a worker would run
            command = shlex.join(settings.worker_command)
            print(f"WORKER_COMMAND cannot be run: {command}: {error.strerror}", file=sys.stderr)
            return 2
        print(f"The emulator cannot listen on port {settings.port}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

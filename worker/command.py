"""What every command shares: --help, --version, and one line for what goes wrong.

Rule: imports only the standard library, so that it also works under a Python that lacks the
worker's packages, and a flag is refused before anything is loaded.
Exit statuses: 2 for a wrong argument or Python, 130 for Ctrl-C, else the command's own.
"""

import argparse
import importlib.util
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from worker import __version__

INTERRUPTED = 128 + signal.SIGINT
"""The exit status that shells give a program ended by Ctrl-C."""
_NEEDED = "pydantic_settings"
"""A package that only the worker's environment has."""


class CommandParser(argparse.ArgumentParser):
    """A parser with --version that refuses unknown flags in one line, without the usage."""

    def __init__(self, prog: str, doc: str | None) -> None:
        """`doc`: the module's docstring, which --help shows."""
        super().__init__(
            prog=prog,
            description=doc,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        version = f"gpt-oss-worker {__version__}"
        self.add_argument("--version", action="version", version=version)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see --help\n")


def require_packages() -> None:
    """Exits with status 2 if this Python lacks the worker's packages."""
    if importlib.util.find_spec(_NEEDED) is None:
        print(
            f"{sys.executable} lacks the worker's packages: run `make setup`, then use "
            ".venv/bin/python.",
            file=sys.stderr,
        )
        sys.exit(2)


def run(command: Callable[[], int]) -> NoReturn:
    """Runs a command and exits with its status; Ctrl-C is one line."""
    try:
        status = command()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        status = INTERRUPTED
    sys.exit(status)

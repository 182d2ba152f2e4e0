"""The HTTP API with paced_worker's engine: who answers the examples of the documentation."""

import sys
from pathlib import Path

from tests.support.clients_server import main
from tests.support.paced_worker import PacedEngine
from worker.engine import Engine
from worker.model import Model
from worker.settings import Settings


def paced(chosen: Settings, model: Model, turns: Path | None) -> Engine:
    """The engine of this server."""
    return PacedEngine((), context_length=model.context_length)


if __name__ == "__main__":
    sys.exit(main(paced))

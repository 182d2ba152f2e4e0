"""What tests share: one real engine for the whole session, on one event loop.

Rule: an engine is booted once, since it takes seconds; whoever uses it runs on its loop, since a
request from another loop would have to wait for that loop to be left.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import hypothesis
import pytest

from worker.engine import SglangEngine, server_args
from worker.model import Model, resolve
from worker.service import Service
from worker.settings import Settings

T = TypeVar("T")

hypothesis.settings.register_profile("suite", deadline=None)  # machines are busy; no time is tested
hypothesis.settings.load_profile("suite")


class RealWorker:
    """The demo model on the real engine, and the loop that it lives on."""

    def __init__(self) -> None:
        self.settings = Settings(model="demo", log_level="error")
        self.model: Model = resolve(self.settings)
        arguments = server_args(self.settings, self.model)
        self.engine = SglangEngine({**arguments, "enable_custom_logit_processor": True})
        self.service = Service(self.engine, self.model, self.settings)
        self._runner = asyncio.Runner()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, run on the engine's loop."""
        return self._runner.run(work)

    def close(self) -> None:
        self.run(self.engine.close())
        self._runner.close()


@pytest.fixture(autouse=True)
def _logs_as_imported() -> None:  # pyright: ignore[reportUnusedFunction]
    """A test that configured the worker's log, or booted SGLang, which sets the root logger's
    level, leaves nothing of it to the next."""
    logging.getLogger().setLevel(logging.WARNING)
    logger = logging.getLogger("worker")
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def real() -> Iterator[RealWorker]:
    worker = RealWorker()
    worker.run(worker.engine.start())
    yield worker
    worker.close()

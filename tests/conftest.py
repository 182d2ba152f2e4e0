"""What tests share: one real engine for the whole session, on one event loop.

Rules: an engine is booted once, since it takes seconds; whoever uses it runs on its loop, since a
request from another loop would have to wait for that loop to be left. Where pytest-xdist runs the
tests in several processes, one of them runs all files that use the engine, first of all.
"""

import asyncio
import logging
import signal
from collections.abc import Coroutine, Iterator
from functools import lru_cache
from typing import Any, TypeVar

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests.support import ROOT
from worker.engine import SglangEngine, server_args
from worker.model import Model, resolve
from worker.service import Service
from worker.settings import Settings

T = TypeVar("T")

# A shell that runs the tests in the background has SIGINT ignored, and so would every command that
# they start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("suite", deadline=None)  # machines are busy; no time is tested
hypothesis.settings.load_profile("suite")


class RealWorker:
    """The demo model on the real engine, and the loop that it lives on."""

    def __init__(self, **more: Any) -> None:
        self.settings = Settings(model="demo", log_level="error", **more)
        self.model: Model = resolve(self.settings)
        arguments = server_args(self.settings, self.model)
        arguments["enable_custom_logit_processor"] = True
        self.engine = SglangEngine(arguments, direct=self.settings.direct_output)
        self.service = Service(self.engine, self.model, self.settings)
        self._runner = asyncio.Runner()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, run on the engine's loop."""
        return self._runner.run(work)

    def close(self) -> None:
        self.run(self.engine.close())
        self._runner.close()


def uses_engine(nodeid: str) -> bool:
    """Whether a test's file asks for the engine, for which it has to name its type."""
    return _names_engine(nodeid.partition("::")[0])


@lru_cache
def _names_engine(file: str) -> bool:
    return RealWorker.__name__ in (ROOT / file).read_text()


class OneEngine(LoadFileScheduling):
    """pytest-xdist's scheduler: a file is run by one process, all that use the engine by one."""

    def _split_scope(self, nodeid: str) -> str:
        return "engine" if uses_engine(nodeid) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneEngine:
    config.option.loadscopereorder = False  # the largest files first: ours are in order
    return OneEngine(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first: the engine's tests, then those that boot workers."""
    items.sort(
        key=lambda item: (
            not uses_engine(item.nodeid),
            item.get_closest_marker("workers") is None,
        )
    )


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
    yield from _started(RealWorker())


@pytest.fixture(scope="session")
def with_detokenizer() -> Iterator[RealWorker]:
    """The same with DIRECT_OUTPUT=false: for slow tests, as it boots another engine."""
    yield from _started(RealWorker(direct_output=False))


def _started(worker: RealWorker) -> Iterator[RealWorker]:
    worker.run(worker.engine.start())
    yield worker
    worker.close()

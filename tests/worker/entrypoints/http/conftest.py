"""What the slow tests of the HTTP API share: one server with the real engine."""

from collections.abc import Iterator

import pytest

from tests.support.http_server import until
from tests.support.serving import Serving


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """`python -m worker.serve`, ready; no test ends it."""
    serving = Serving(tmp_path_factory.mktemp("serving") / "log")
    try:
        until(lambda: serving.ping() == 200, 280)
        yield serving
    finally:
        serving.end()

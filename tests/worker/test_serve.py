"""`python -m worker.serve` as a process: it boots, drains, and dies with its engine."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.http_server import until
from tests.support.serving import Serving

pytestmark = pytest.mark.workers

COUNT = {
    "messages": [{"role": "user", "content": "Count to one hundred"}],
    "temperature": 0,
    "stream": True,
}


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    serving = Serving(tmp_path / "log")
    yield serving
    serving.end()


def test_it_listens_while_it_boots_and_drains_when_told_to(serving: Serving) -> None:
    """204, then 200; at SIGTERM what runs is finished, nothing new is taken, the exit is 0."""
    until(lambda: serving.ping() == 204, 60)
    assert serving.client.get("/health").status_code == 503
    assert serving.client.get("/v1/models").status_code == 503
    until(lambda: serving.ping() == 200, 280)
    metrics = serving.client.get("/metrics").text
    assert 'gpt_oss_boot_seconds{phase="weights"}' in metrics
    assert "gpt_oss_kv_usage_ratio" in metrics

    with serving.client.stream("POST", "/v1/chat/completions", json=COUNT) as response:
        lines = response.iter_lines()
        next(lines)
        serving.process.send_signal(signal.SIGTERM)
        data = [line.removeprefix("data: ") for line in lines if line]
    assert data[-1] == "[DONE]"
    text = "".join(json.loads(d)["choices"][0]["delta"].get("content") or "" for d in data[:-1])
    assert "99, 100" in text
    assert serving.process.wait(20) == 0
    assert "secret-key" not in serving.log.read_text()


def test_it_ends_with_its_engine(serving: Serving) -> None:
    """503 to the platform, then an exit status that is not 0."""
    until(lambda: serving.ping() == 200, 280)
    children = psutil.Process(serving.process.pid).children(recursive=True)
    scheduler = next(child for child in children if "scheduler" in child.name())
    scheduler.kill()
    until(lambda: serving.ping() == 503, 10)
    assert serving.process.wait(20) == 1
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


def test_told_to_stop_while_it_boots_it_stops(serving: Serving) -> None:
    """At once."""
    until(lambda: serving.ping() == 204, 60)
    time.sleep(2)
    serving.process.send_signal(signal.SIGTERM)
    assert serving.process.wait(30) == 0


def test_a_bad_setting_stops_the_start_with_one_line(tmp_path: Path) -> None:
    """It names the variable and what it takes."""
    serving = Serving(tmp_path / "log", MAX_BODY_MB="lots")
    assert serving.process.wait(60) == 2
    serving.client.close()
    assert serving.log.read_text() == "MAX_BODY_MB must be a size in MB, 1 or greater, got 'lots'\n"


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    """Before anything boots."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        serving = Serving(tmp_path / "log", PORT=str(taken.getsockname()[1]))
        assert serving.process.wait(60) == 1
        serving.client.close()
    assert "cannot listen on port" in serving.log.read_text()

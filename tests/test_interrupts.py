"""Ctrl-C: a terminal sends SIGINT to a command and to all of its processes at once."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.support import DEMO, ROOT
from tests.support.container import free_port
from tests.support.http_server import until

pytestmark = pytest.mark.workers


def interrupted(
    log: Path, *arguments: str, when: Callable[[], bool], **variables: str
) -> tuple[int, str, list[psutil.Process]]:
    """The exit status and the output after Ctrl-C, and the child processes that are left."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=os.environ | DEMO | variables,
            stdout=output,
            stderr=output,
            start_new_session=True,  # its own group, like a terminal's foreground job
        )
    until(when, 280)
    children = psutil.Process(process.pid).children(recursive=True)
    before = log.stat().st_size
    os.killpg(process.pid, signal.SIGINT)
    status = process.wait(60)
    return status, log.read_text()[before:], psutil.wait_procs(children, timeout=5)[1]


def test_a_booting_run_ends_with_one_line(tmp_path: Path) -> None:
    """With the status of an interrupted program, and without its engine."""
    log = tmp_path / "log"

    def boots() -> bool:
        return "starting the engine" in log.read_text()

    def has_booted_a_while() -> bool:
        time.sleep(1)
        return boots() and time.time() - log.stat().st_ctime > 4

    status, said, left = interrupted(log, "handler.py", when=has_booted_a_while)
    assert (status, left) == (130, [])
    assert said.strip().splitlines()[-1] == "Interrupted."
    assert "Traceback" not in said


def test_a_server_stops_with_two_lines(tmp_path: Path) -> None:
    """It drains and stops with status 0; SGLang's processes say nothing."""
    port = free_port()

    def is_ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping") as reply:
                return reply.status == 200
        except urllib.error.URLError:
            return False

    serve = ("-m", "worker.serve", "--host", "127.0.0.1")
    status, said, left = interrupted(tmp_path / "log", *serve, when=is_ready, PORT=str(port))
    assert (status, left) == (0, [])
    drains, stopped = said.strip().splitlines()
    assert drains.endswith("draining: 0 requests are running")
    assert stopped.endswith("stopped")

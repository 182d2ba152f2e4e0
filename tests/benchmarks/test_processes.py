"""The benchmarks' processes: what is not ready is an error with its log, and nothing is left."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psutil
import pytest

from benchmarks.processes import Child, ProcessFailed, json_from, python

T = TypeVar("T")
SLEEPER = "import time; print('ready at http://127.0.0.1:1', flush=True); time.sleep(600)"


def of(program: str, use: Callable[[Child], Awaitable[T]]) -> T:
    """What `use` makes of a process that runs this program."""

    async def run() -> T:
        async with python("-c", program) as child:
            return await use(child)

    return asyncio.run(run())


async def never() -> None:
    """A condition that stays false."""


def test_the_url_of_a_server() -> None:
    """It is in a line of its log."""
    assert of(SLEEPER, lambda child: child.url(30)) == "http://127.0.0.1:1"


def test_a_process_that_exits_is_not_waited_for() -> None:
    """The error says why, from the end of its log."""
    with pytest.raises(ProcessFailed, match=r"exited with 3\n.*no such model"):
        of("print('no such model'); exit(3)", lambda child: child.url(60))


def test_what_takes_too_long_is_an_error() -> None:
    """It says what was waited for."""

    async def wait(child: Child) -> None:
        await child.url(30)
        await child.until(never, 0.2, "an answer")

    with pytest.raises(ProcessFailed, match=r"an answer: not within 0\.2 s\n.*ready at"):
        of(SLEEPER, wait)


def test_a_process_ends_with_its_context() -> None:
    """Together with those that it has started."""
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEPER!r}])"

    async def processes(child: Child) -> list[psutil.Process]:
        await child.url(30)
        parent = psutil.Process(child.pid)
        return [parent, *parent.children()]

    assert [each.is_running() for each in of(program, processes)] == [False, False]


def test_a_process_that_ignores_its_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark never hangs in its own end."""
    monkeypatch.setattr("benchmarks.processes.STOP_SECONDS", 0.1)
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"

    async def running(child: Child) -> psutil.Process:
        await child.url(30)
        return psutil.Process(child.pid)

    assert not of(deaf, running).is_running()


def test_a_process_answers_with_the_last_line_that_it_prints() -> None:
    """As JSON; what it printed before is a log."""
    script = "import os; print('loading'); print(os.environ['ANSWER'])"
    assert asyncio.run(json_from("-c", script, ANSWER="[1, 2]")) == [1, 2]


def test_a_process_that_fails_gives_no_answer() -> None:
    """Whatever it printed."""
    with pytest.raises(ProcessFailed, match="exited with status 3"):
        asyncio.run(json_from("-c", "print(1); raise SystemExit(3)"))

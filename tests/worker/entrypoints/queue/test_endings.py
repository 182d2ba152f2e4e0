"""How a queue worker ends: told to by RunPod, or because its engine died; no job is lost by it."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from emulator.pool import environment
from tests.support import DEMO
from tests.support.emulation import Emulation, emulation, eventually, streamed
from tests.worker.entrypoints.queue.test_worker import CHAT, HANDLER, LONG, events

pytestmark = pytest.mark.workers

PACED_HANDLER = (sys.executable, "-m", "tests.support.paced_worker")


@pytest.fixture(scope="module")
def plane() -> Iterator[Emulation]:
    with emulation(0, PING_LIMIT_S="3600", **DEMO) as running:
        yield running


@contextmanager
def worker(
    plane: Emulation, home: Path, command: tuple[str, ...] = PACED_HANDLER, **settings: str
) -> Generator[subprocess.Popen[bytes]]:
    """A worker of the plane, which the test may end; it takes jobs when this is entered."""
    name = f"w{len(plane.workers())}"
    its = environment(f"{plane.url}/v2/demo", name, str(home), 1000)
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, env={**its, **DEMO, **settings}, stdout=log, stderr=log)
    try:
        eventually(lambda: name in plane.ready(0), 180)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_sigterm_at_any_moment_loses_no_job(
    plane: Emulation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twenty workers, ended at random moments between streams; each job is reported once."""
    rng = random.Random(11)  # noqa: S311 - repeatable, not secret
    late = list[float]()
    for number in range(20):
        home = tmp_path / str(number)
        home.mkdir()
        with worker(plane, home) as process:
            jobs = [plane.submit(events(CHAT)) for _ in range(4)]
            time.sleep(rng.uniform(0, 0.6))
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            left = time.monotonic()
        ends = list[float]()
        for job in map(plane.job, jobs):
            if job["state"] == "IN_QUEUE":
                plane.cancel(job["id"])  # not taken: it waits for the next worker
                continue
            assert job["state"] == "COMPLETED"
            assert streamed(job) == job["output"]
            ends.append(job["ended"]["monotonic"])
        late += [left - max(ends)] if ends else []
    with capsys.disabled():
        print(
            f"\nSIGTERM: out {max(late):.2f} s after the last job at most, {len(late)} workers",
            file=sys.stderr,
        )


def test_a_job_that_comes_after_sigterm_is_answered(plane: Emulation, tmp_path: Path) -> None:
    """By the poll that was under way."""
    with worker(plane, tmp_path) as process:
        plane.set_faults(hold_until_stop=True)
        job_id = plane.submit(events(CHAT))
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        plane.set_faults()
        assert process.wait(30) == 0
    job = plane.job(job_id)
    assert job["state"] == "COMPLETED"
    assert streamed(job) == job["output"]


def test_a_job_that_outlasts_the_drain_fails_as_retriable(plane: Emulation, tmp_path: Path) -> None:
    """With its reason, after DRAIN_SECONDS."""
    with worker(plane, tmp_path, DRAIN_SECONDS="1", PACE_MS="200") as process:
        job_id = plane.submit(LONG)
        plane.in_state(job_id, "IN_PROGRESS")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    job = plane.job(job_id)
    assert job["state"] == "FAILED"
    assert json.loads(job["error"])["code"] == "worker_ending"


@pytest.mark.parametrize(("which", "direct"), [("scheduler", "true"), ("detoken", "false")])
def test_a_dead_engine_ends_its_worker(
    plane: Emulation, tmp_path: Path, which: str, direct: str
) -> None:
    """Its jobs fail at once with server_error, and no other is taken."""
    with worker(plane, tmp_path, HANDLER, DIRECT_OUTPUT=direct) as process:
        job_id = plane.submit(events(LONG))
        eventually(lambda: plane.job(job_id)["chunks"] > 3)
        (victim,) = [
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if which in " ".join(child.cmdline())
        ]
        victim.kill()
        assert process.wait(30) == 1
        job = plane.job(job_id)
    assert job["state"] == "FAILED"
    assert json.loads(job["error"])["type"] == "server_error"
    assert '"error"' in streamed(job)[-1]
    assert not psutil.pid_exists(victim.pid)


def test_a_worker_that_is_unfit_says_so(plane: Emulation, tmp_path: Path) -> None:
    """It exits with 1, and the platform hears why."""
    broken = tmp_path / "model"
    broken.mkdir()
    (broken / "config.json").write_text('{"max_position_embeddings": 100}')
    name = "unfit"
    its = environment(f"{plane.url}/v2/demo", name, str(tmp_path), 1000)
    process = subprocess.run(
        HANDLER,
        env={**its, "MODEL": str(broken), "TENSOR_PARALLEL_SIZE": "1000"},
        timeout=120,
        check=False,
    )
    assert process.returncode == 1
    assert plane.worker(name)["unhealthy"]

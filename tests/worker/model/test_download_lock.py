"""The lock that workers on different hosts share: one holds it; a dead holder loses it in time."""

import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.http_server import until
from worker.model import download_lock
from worker.model.download_lock import hold, this_process

HOLD = """
import sys, time
from pathlib import Path
from worker.model.download_lock import hold
with hold(Path(sys.argv[1]), progress=lambda: "1.0 GB of 2.0 GB"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "worker.lock"


@contextmanager
def other_process(lock: Path) -> Generator[subprocess.Popen[str]]:
    """A process that holds the lock for a minute."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, lock], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def hold_briefly(lock: Path, *, stale_seconds: float = 30) -> bool:
    """Holds the lock for a moment. Returns whether it was taken over."""
    with hold(lock, progress=lambda: "", stale_seconds=stale_seconds) as taken_over:
        return taken_over


def foreign(lock: Path, *, beats: int = 0) -> None:
    """Writes the lock of a worker on another host."""
    owner = replace(this_process(), host="other-host", space="another boot")
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(json.dumps(asdict(owner) | {"beats": beats, "at": "1.0 GB of 2.0 GB"}))


def test_it_is_free_after_its_holder(lock: Path) -> None:
    """Nothing is left, and the next holder took nothing over."""
    assert hold_briefly(lock) is False
    assert hold_briefly(lock) is False
    assert list(lock.parent.iterdir()) == []


def test_it_is_free_after_an_error(lock: Path) -> None:
    """As any lock."""
    with pytest.raises(RuntimeError), hold(lock, progress=lambda: ""):
        raise RuntimeError
    assert not lock.exists()


def test_a_second_process_waits(lock: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its log says for whom, and how far that one is."""
    with caplog.at_level(logging.INFO), other_process(lock) as holder:
        waiting = threading.Thread(target=hold_briefly, args=(lock,), daemon=True)
        waiting.start()
        until(lambda: caplog.messages)
        assert caplog.messages == [
            f"waiting for another worker: {socket.gethostname()}, 1.0 GB of 2.0 GB"
        ]
        assert waiting.is_alive()
        holder.kill()
        holder.wait()
        waiting.join(10)
        assert not waiting.is_alive()


def test_the_lock_of_a_killed_process_is_taken_over_at_once(lock: Path) -> None:
    """On the same machine it is known that the process is gone."""
    with other_process(lock) as holder:
        holder.kill()
        holder.wait()
    started = time.monotonic()
    assert hold_briefly(lock) is True
    assert time.monotonic() - started < 2


def test_the_lock_of_a_dead_host_is_taken_over_in_time(lock: Path) -> None:
    """It does not beat any more."""
    foreign(lock)
    started = time.monotonic()
    assert hold_briefly(lock, stale_seconds=1) is True
    assert time.monotonic() - started > 1


def test_the_lock_of_a_living_host_is_respected(lock: Path) -> None:
    """However long it takes: each beat counts, at whatever time by whose clock."""
    ended = threading.Event()

    def beat() -> None:
        for beats in range(30):
            foreign(lock, beats=beats)
            time.sleep(0.1)
        ended.set()
        lock.unlink()

    foreign(lock)
    threading.Thread(target=beat, daemon=True).start()
    assert hold_briefly(lock, stale_seconds=1) is False
    assert ended.is_set()


def test_a_lock_without_content_is_taken_over_in_time(lock: Path) -> None:
    """Its owner died between creating and writing it."""
    lock.parent.mkdir()
    lock.touch()
    assert hold_briefly(lock, stale_seconds=1) is True


def test_the_holder_beats(lock: Path) -> None:
    """What others see changes, and has the progress."""
    done = iter(range(1000))
    with hold(lock, progress=lambda: f"{next(done)} GB", beat_seconds=0.05):
        seen: set[str] = set()
        until(lambda: seen.add(json.loads(lock.read_text())["at"]) or len(seen) > 3)


def test_a_lock_that_others_took_over_is_left_to_them(
    lock: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A holder that was suspended for long does not take it back."""
    with hold(lock, progress=lambda: "", beat_seconds=0.05):
        foreign(lock)
        until(lambda: caplog.messages)
    assert "another worker took over the lock" in caplog.text
    assert json.loads(lock.read_text())["host"] == "other-host"


def test_of_many_only_one_takes_over(lock: Path) -> None:
    """Nor do two hold it at any time."""
    foreign(lock)
    running, most, taken = 0, 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal running, most, taken
        # An owner that does not run for two seconds counts as dead; a busy machine lets it run.
        beats = {"beat_seconds": 0.1, "stale_seconds": 2}
        with hold(lock, progress=lambda: "", **beats) as taken_over:
            with guard:
                running, taken = running + 1, taken + taken_over
                most = max(most, running)
            time.sleep(0.05)
            with guard:
                running -= 1

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert taken >= 1


def test_a_process_that_has_the_number_of_a_dead_one_is_another() -> None:
    """Numbers are used again; the time of the start tells them apart."""
    owner = this_process()
    assert not owner.is_gone()
    assert replace(owner, started=owner.started - 1).is_gone()
    assert not replace(owner, space="another boot", started=0.0).is_gone()
    assert download_lock.BEAT_SECONDS * 3 < download_lock.STALE_SECONDS

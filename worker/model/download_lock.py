"""A lock for workers on different hosts that share one network volume: one downloads, others wait.

`flock` is not enough: network file systems may grant it on each host (huggingface_hub's own locks
are of that kind, so it keeps its files correct without them, at the price of downloading twice).
What they do have is the creation of a file that must not exist yet (O_EXCL, atomic since NFSv3).

A lock file of this kind outlives a worker that is killed, so its owner writes to it every
`BEAT_SECONDS`. A waiting worker compares what it reads with what it read before, by its own clock:
the clocks of two hosts need not agree. If nothing has changed for `STALE_SECONDS`, the owner is
dead. On the owner's own machine this is known at once: its process does not exist any more.

Rule: the lock saves bandwidth and nothing depends on it. In two rare cases two workers download at
the same time: if both take over a stale lock in the same instant, and if the owner was suspended
for longer than `STALE_SECONDS`. Both then get whole files.
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

log = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
STALE_SECONDS = 30.0
"""Several beats: a network volume under load may delay one, and may show others an old one."""
POLL_SECONDS = 0.5
REPORT_SECONDS = 10.0
"""How often a waiting worker logs that it waits."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, on any host. `space` tells apart machines, and containers on one machine."""

    id: str
    host: str
    space: str
    pid: int
    started: float

    def is_gone(self) -> bool:
        """Whether this process is known to have ended. False if it would run elsewhere."""
        if self.space != _space():
            return False
        try:
            return psutil.Process(self.pid).create_time() != self.started
        except psutil.NoSuchProcess:
            return True


def _space() -> str:
    """The kernel's boot and the namespace in which process IDs count."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"


def this_process() -> Owner:
    process = psutil.Process()
    return Owner(
        uuid.uuid4().hex, socket.gethostname(), _space(), process.pid, process.create_time()
    )


@contextmanager
def repeated(seconds: float, work: Callable[[], None]) -> Generator[None]:
    """Calls `work` every so many seconds, in a thread, until the block ends."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            work()

    thread = threading.Thread(target=repeat, daemon=True, name="repeated")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def hold(
    path: Path,
    *,
    progress: Callable[[], str],
    beat_seconds: float = BEAT_SECONDS,
    stale_seconds: float = STALE_SECONDS,
) -> Generator[bool]:
    """Holds the lock `path`, after waiting for it if needed.

    Yields whether it was taken over from a worker that has died. `progress`: how far the owner is,
    which waiting workers log. Raises OSError if the lock cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _Lock(path, this_process(), progress)
    lock.acquire(stale_seconds)
    try:
        with repeated(beat_seconds, lock.beat):
            yield lock.taken_over
    finally:
        lock.release()


class _Lock:
    """A lock file: who owns it, a number that the owner increases, and how far it is."""

    def __init__(self, path: Path, owner: Owner, progress: Callable[[], str]) -> None:
        self._path = path
        self._owner = owner
        self._progress = progress
        self._beats = 0
        self.taken_over = False

    def acquire(self, stale_seconds: float) -> None:
        seen, since, reported = "", time.monotonic(), float("-inf")
        while not self._create():
            now, content = time.monotonic(), self._read()
            if content != seen:
                seen, since = content, now
            if _is_gone(content) or now - since > stale_seconds:
                self._take_away(content)
                continue
            if content and now - reported > REPORT_SECONDS:
                log.info("waiting for another worker: %s", _description(content))
                reported = now
            time.sleep(POLL_SECONDS)

    def _create(self) -> bool:
        try:
            file = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(file, "w") as opened:
            opened.write(self._content())
        return True

    def _content(self) -> str:
        return json.dumps(asdict(self._owner) | {"beats": self._beats, "at": self._progress()})

    def _read(self) -> str:
        """The lock's content; empty while it has none, or after it was released."""
        try:
            return self._path.read_text()
        except FileNotFoundError:
            return ""

    def _take_away(self, stale: str) -> None:
        """Removes a stale lock: of several workers that try to, only one can rename the file.

        Another worker may have done so and made a lock of its own since it was read: that is put
        back.
        """
        if self._read() != stale:
            return
        log.info("taking over from a worker that has died: %s", _description(stale) or "no details")
        away = self._path.with_name(f"{self._path.name}.{self._owner.id}")
        try:
            self._path.rename(away)
        except FileNotFoundError:
            return
        if away.read_text() != stale and not self._path.exists():
            away.rename(self._path)
            return
        away.unlink()
        self.taken_over = True

    def beat(self) -> None:
        """Shows that the owner is alive. A volume that fails for a moment is tried again."""
        self._beats += 1
        try:
            if _owner_of(self._read()) != self._owner:
                log.warning("another worker took over the lock %s", self._path)
                return
            # Renamed into place, so that no reader finds it empty.
            aside = self._path.with_name(f"{self._path.name}.{self._owner.id}")
            aside.write_text(self._content())
            aside.replace(self._path)
        except OSError as error:
            log.warning("the lock %s could not be refreshed: %s", self._path, error.strerror)

    def release(self) -> None:
        if _owner_of(self._read()) == self._owner:
            self._path.unlink(missing_ok=True)


def _owner_of(content: str) -> Owner | None:
    """The owner in a lock's content; None if it is not complete."""
    try:
        values = json.loads(content)
        return Owner(**{name: values[name] for name in Owner.__dataclass_fields__})
    except (ValueError, KeyError, TypeError):
        return None


def _is_gone(content: str) -> bool:
    owner = _owner_of(content)
    return owner is not None and owner.is_gone()


def _description(content: str) -> str:
    owner = _owner_of(content)
    return f"{owner.host}, {json.loads(content)['at']}" if owner else ""

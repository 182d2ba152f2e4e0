"""Reads the model's weights into the page cache while SGLang imports its modules.

SGLang begins to read weights only after its processes have started, which takes at least ten
seconds in which the disk is idle. A file that has been read once is in the kernel's page cache, and
SGLang, which maps it into memory, finds it there.

Reading releases the GIL, so the imports are not held up. Rule: the cache is worth only memory that
nobody else needs. What does not fit in it is left to SGLang.
"""

import logging
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from worker.model.gpus import GIB, MIB

log = logging.getLogger(__name__)

SPARE_BYTES_OF_MEMORY = 8 * GIB
"""What SGLang's processes need for themselves: an estimate."""
READ_BYTES = 8 * MIB
READERS = 4
"""Threads: network volumes and NVMe disks answer several reads at once faster than one."""
CGROUP = Path("/sys/fs/cgroup")


@contextmanager
def reading_ahead(folder: Path) -> Generator[None]:
    """Reads the weights in `folder` until all are read, or the block ends."""
    shards = sorted(folder.glob("*.safetensors"))
    reader = ReadAhead(shards, free_memory() - SPARE_BYTES_OF_MEMORY)
    reader.start()
    try:
        yield
    finally:
        reader.stop()


class ReadAhead:
    """Threads that read files from their beginning to their end, `limit` bytes at most.

    `bytes_read` is counted in pieces of `READ_BYTES`.
    """

    def __init__(self, shards: Sequence[Path], limit: int) -> None:
        self.bytes_read = 0
        self._left = iter(shards)
        self._limit = limit
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._started = time.monotonic()
        self._threads = [
            threading.Thread(target=self._read_files, daemon=True, name="read-ahead")
            for _ in range(min(READERS, len(shards)))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the reading at once."""
        self._stopped.set()
        self.wait()

    def wait(self) -> None:
        """Waits until all is read."""
        for thread in self._threads:
            thread.join()

    def _read_files(self) -> None:
        while (path := self._next()) is not None:
            try:
                self._read(path)
            except OSError as error:
                log.warning("%s was not read ahead: %s", path.name, error.strerror)
        if self._threads[-1] is threading.current_thread():
            seconds = time.monotonic() - self._started
            log.debug("read %.1f GiB ahead in %.1f s", self.bytes_read / GIB, seconds)

    def _next(self) -> Path | None:
        with self._lock:
            return next(self._left, None)

    def _read(self, path: Path) -> None:
        buffer = bytearray(READ_BYTES)
        with path.open("rb", buffering=0) as file:
            while not self._stopped.is_set() and self._reserve():
                if not file.readinto(buffer):
                    return

    def _reserve(self) -> bool:
        """Counts one more piece; False if it would go over the limit."""
        with self._lock:
            if self.bytes_read + READ_BYTES > self._limit:
                return False
            self.bytes_read += READ_BYTES
            return True


def free_memory(cgroup: Path = CGROUP) -> int:
    """The bytes that the page cache can take: the machine's, or fewer if the container has a limit.

    `memory.current` counts the page cache, too, of which the kernel gives up the inactive files.
    """
    available = psutil.virtual_memory().available
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        pairs = (line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        inactive = next((int(value) for name, value in pairs if name == "inactive_file"), 0)
    except FileNotFoundError:  # cgroup v1, or no cgroup
        return available
    return available if limit == "max" else min(available, int(limit) - used + inactive)

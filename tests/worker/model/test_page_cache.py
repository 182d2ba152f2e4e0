"""Reading the weights ahead, into the page cache."""

import ctypes
import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from worker.model.gpus import GIB, MIB
from worker.model.page_cache import READ_BYTES, ReadAhead, free_memory, reading_ahead

SIZE = 3 * READ_BYTES


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """Files of which nothing is in the page cache."""
    paths = [tmp_path / f"model-{number}.safetensors" for number in range(3)]
    for path in paths:
        path.write_bytes(os.urandom(SIZE))
        forget(path)
    if any(map(resident, paths)):
        pytest.skip("the file system here keeps what it is told to forget")
    return paths


def forget(path: Path) -> None:
    """Drops a file from the page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def resident(path: Path) -> int:
    """The pages of a file that are in the page cache."""
    mapped = np.memmap(path, mode="r", dtype=np.uint8)
    flags = np.zeros(-(-mapped.size // mmap.PAGESIZE), np.uint8)
    data = ctypes.c_void_p(mapped.ctypes.data), ctypes.c_size_t(mapped.size)
    assert ctypes.CDLL(None).mincore(*data, ctypes.c_void_p(flags.ctypes.data)) == 0
    return int((flags & 1).sum())


def test_all_shards_are_read(shards: list[Path]) -> None:
    """To their ends; the kernel may have given up a few of their pages again."""
    reader = ReadAhead(shards, 100 * READ_BYTES)
    reader.start()
    reader.wait()
    assert reader.bytes_read == 12 * READ_BYTES  # three pieces of each, and one that finds its end
    assert all(resident(path) > 0.99 * SIZE // mmap.PAGESIZE for path in shards)


def test_no_more_is_read_than_memory_allows(shards: list[Path]) -> None:
    """Here two pieces of the nine that there are."""
    reader = ReadAhead(shards, 2 * READ_BYTES)
    reader.start()
    reader.wait()
    assert reader.bytes_read == 2 * READ_BYTES
    assert sum(map(resident, shards)) < 9 * READ_BYTES // mmap.PAGESIZE


def test_without_memory_to_spare_nothing_is_read(shards: list[Path]) -> None:
    """The limit is negative on a machine with less than what SGLang itself needs."""
    reader = ReadAhead(shards, -GIB)
    reader.start()
    reader.wait()
    assert sum(map(resident, shards)) == 0


def test_a_shard_that_cannot_be_read_is_left_to_sglang(
    tmp_path: Path, shards: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Which says what is wrong; the others are read."""
    reader = ReadAhead([tmp_path / "none.safetensors", *shards], 100 * READ_BYTES)
    reader.start()
    reader.wait()
    assert all(map(resident, shards))
    assert "none.safetensors was not read ahead: No such file or directory" in caplog.text


def test_it_ends_with_its_block(tmp_path: Path) -> None:
    """Also in a folder without weights."""
    with reading_ahead(tmp_path):
        pass


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    """Less what is in use, without the page cache that the kernel would give up."""
    assert free_memory(tmp_path) > GIB
    (tmp_path / "memory.max").write_text(f"{600 * MIB}\n")
    (tmp_path / "memory.current").write_text(f"{500 * MIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon {200 * MIB}\ninactive_file {300 * MIB}\n")
    assert free_memory(tmp_path) == 400 * MIB
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(tmp_path) > GIB

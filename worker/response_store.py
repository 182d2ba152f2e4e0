"""Where responses of the Responses API are kept for later requests (RESPONSE_STORE).

- `memory`: in this process, up to RESPONSE_STORE_MB, the least recently used go first. For one
  worker: with several, the next turn may reach another one.
- A folder: one compressed JSON file per response, for RESPONSE_STORE_HOURS. On a network volume it
  serves all workers of an endpoint. A response never changes, so files need no lock: each is
  written beside its place and renamed. (SQLite's locks are not reliable on network volumes.)
- `off`: nothing is kept.

Rule: a file that cannot be read or written costs that response and is logged, nothing more.
"""

import asyncio
import logging
import os
import re
import time
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import orjson

from worker.api.dialect import Object, ResponseStore
from worker.settings import Settings

log = logging.getLogger(__name__)

_ID = re.compile(r"resp_([0-9a-f]{32})")
_SUFFIX = ".json.z"
_FILE = re.compile(r"[0-9a-f]{32}\.json\.z(\.part)?")
"""What the sweep may delete: the folder can have other files."""
_SWEEP_SECONDS = 600.0
"""Between two searches for files that are too old."""


def response_store(settings: Settings) -> ResponseStore:
    """The store that the settings ask for."""
    match settings.response_store:
        case "off":
            return NoResponseStore()
        case "memory":
            return MemoryResponseStore(settings.response_store_mb * 2**20)
        case path:
            return FolderResponseStore(Path(path), settings.response_store_hours)


class _Entry(NamedTuple):
    owner: str
    text: bytes


class MemoryResponseStore:
    """Keeps records as JSON in the process, up to `max_bytes` in all."""

    is_on = True
    advice = (
        "This worker keeps responses in its own memory; with several workers set RESPONSE_STORE to "
        "a folder on a network volume, or send store=false and the items."
    )

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    async def get(self, response_id: str, owner: str) -> Object | None:
        entry = self._entry(response_id, owner)
        if entry is None:
            return None
        self._entries.move_to_end(response_id)
        return orjson.loads(entry.text)

    async def put(self, response_id: str, owner: str, record: Object) -> bool:
        text = orjson.dumps(record)
        self._entries[response_id] = _Entry(owner, text)
        self._bytes += len(text)
        while self._bytes > self._max_bytes:
            _, forgotten = self._entries.popitem(last=False)
            self._bytes -= len(forgotten.text)
        return response_id in self._entries

    async def delete(self, response_id: str, owner: str) -> bool:
        entry = self._entry(response_id, owner)
        if entry is None:
            return False
        self._bytes -= len(entry.text)
        del self._entries[response_id]
        return True

    def _entry(self, response_id: str, owner: str) -> _Entry | None:
        entry = self._entries.get(response_id)
        return entry if entry is not None and entry.owner == owner else None


class FolderResponseStore:
    """Keeps each record in a file of its own: `resp_abcdef…` in `ab/abcdef….json.z`."""

    is_on = True

    def __init__(self, folder: Path, hours: float) -> None:
        self._folder = folder
        self._seconds = hours * 3600
        self._swept = 0.0
        self.advice = (
            f"Responses are kept for {hours:g} hours, in the folder of RESPONSE_STORE, which all "
            "workers must share; or send store=false and the items."
        )

    async def get(self, response_id: str, owner: str) -> Object | None:
        return await asyncio.to_thread(self._read, response_id, owner)

    async def put(self, response_id: str, owner: str, record: Object) -> bool:
        return await asyncio.to_thread(self._write, response_id, owner, record)

    async def delete(self, response_id: str, owner: str) -> bool:
        return await asyncio.to_thread(self._delete, response_id, owner)

    def _path(self, response_id: str) -> Path | None:
        """The file of an ID; none for what is no ID of this worker's."""
        found = _ID.fullmatch(response_id)
        return self._folder / found[1][:2] / f"{found[1]}{_SUFFIX}" if found else None

    def _read(self, response_id: str, owner: str) -> Object | None:
        path = self._path(response_id)
        if path is None:
            return None
        try:
            if self._is_old(path):
                return None
            found = orjson.loads(zlib.decompress(path.read_bytes()))
            return found["record"] if found["owner"] == owner else None
        except FileNotFoundError:
            return None
        except (OSError, zlib.error, ValueError, KeyError, TypeError) as error:
            log.warning("the stored response %s cannot be read: %r", response_id, error)
            return None

    def _write(self, response_id: str, owner: str, record: Object) -> bool:
        path = self._path(response_id)
        if path is None:
            return False
        beside = path.with_name(f"{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(zlib.compress(orjson.dumps({"owner": owner, "record": record})))
            beside.replace(path)
        except OSError as error:
            log.error("the response %s cannot be stored: %r", response_id, error)  # noqa: TRY400
            return False
        self._sweep()
        return True

    def _delete(self, response_id: str, owner: str) -> bool:
        path = self._path(response_id)
        if path is None or self._read(response_id, owner) is None:
            return False
        path.unlink(missing_ok=True)
        return True

    def _is_old(self, path: Path) -> bool:
        return time.time() - path.stat().st_mtime > self._seconds

    def _sweep(self) -> None:
        """Deletes files that are too old, also what a worker that was killed left unfinished."""
        if time.monotonic() - self._swept < _SWEEP_SECONDS and self._swept:
            return
        self._swept = time.monotonic()
        for folder, _, names in os.walk(self._folder):
            for name in names:
                self._delete_if_old(Path(folder, name))

    def _delete_if_old(self, path: Path) -> None:
        try:
            if _FILE.fullmatch(path.name) and self._is_old(path):
                path.unlink()
        except FileNotFoundError:
            pass  # another worker sweeps the same folder
        except OSError as error:
            log.warning("the old response %s cannot be deleted: %r", path.name, error)


class NoResponseStore:
    """Keeps nothing."""

    is_on = False
    advice = (
        "This worker stores no responses (RESPONSE_STORE=off); send the earlier items in input."
    )

    async def get(self, response_id: str, owner: str) -> Object | None:  # noqa: ARG002
        return None

    async def put(self, response_id: str, owner: str, record: Object) -> bool:  # noqa: ARG002
        return False

    async def delete(self, response_id: str, owner: str) -> bool:  # noqa: ARG002
        return False

"""The stores of responses: memory, a folder, none."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from tests.support.responses import Object
from worker.api.dialect import ResponseStore
from worker.response_store import (
    FolderResponseStore,
    MemoryResponseStore,
    NoResponseStore,
    response_store,
)
from worker.settings import Settings

ONE, TWO = f"resp_{'1' * 32}", f"resp_{'2' * 32}"
RECORD: Object = {"response": {"id": ONE, "output": []}, "input": [{"text": "Grüße"}]}


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ResponseStore:
    if request.param == "memory":
        return MemoryResponseStore(2**20)
    return FolderResponseStore(tmp_path, 24)


def get(store: ResponseStore, response_id: str = ONE, owner: str = "a") -> Object | None:
    return asyncio.run(store.get(response_id, owner))


def put(store: ResponseStore, response_id: str = ONE, record: Object = RECORD) -> bool:
    return asyncio.run(store.put(response_id, "a", record))


def test_what_is_put_can_be_got_by_its_owner(store: ResponseStore) -> None:
    """By no other."""
    assert put(store)
    assert get(store) == RECORD
    assert get(store, owner="b") is None
    assert get(store, TWO) is None


def test_only_its_owner_can_delete_it(store: ResponseStore) -> None:
    """Once."""
    put(store)
    assert not asyncio.run(store.delete(ONE, "b"))
    assert asyncio.run(store.delete(ONE, "a"))
    assert not asyncio.run(store.delete(ONE, "a"))
    assert get(store) is None


def test_what_is_got_can_be_changed(store: ResponseStore) -> None:
    """It is a copy."""
    put(store)
    found = get(store)
    assert found is not None
    found["input"].append(5)
    assert get(store) == RECORD


@pytest.mark.parametrize("response_id", ["", "resp_1", "../../etc/passwd", "resp_" + "/" * 32])
def test_an_id_of_another_form_is_not_found(store: ResponseStore, response_id: str) -> None:
    """Nor does it lead out of the folder."""
    assert get(store, response_id) is None
    assert not asyncio.run(store.delete(response_id, "a"))


def test_memory_forgets_what_was_not_used_for_longest() -> None:
    """It never takes more than it may."""
    store = MemoryResponseStore(2500)
    record = {"text": "x" * 1000}
    put(store, "resp_a", record)
    put(store, "resp_b", record)
    assert get(store, "resp_a") == record
    put(store, "resp_c", record)
    assert get(store, "resp_b") is None
    assert get(store, "resp_a") == get(store, "resp_c") == record


def test_memory_does_not_keep_what_is_larger_than_all_of_it() -> None:
    """And says so."""
    store = MemoryResponseStore(1000)
    assert not put(store, record={"text": "x" * 2000})
    assert get(store) is None
    assert put(store)


def test_a_folder_has_one_file_for_each_response(tmp_path: Path) -> None:
    """Compressed, under the first two digits of its ID; nothing is left beside it."""
    put(FolderResponseStore(tmp_path / "new", 24))
    (file,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert file == tmp_path / "new" / "11" / f"{'1' * 32}.json.z"


def test_a_response_of_a_folder_is_found_by_another_process(tmp_path: Path) -> None:
    """Which shares nothing but the files."""
    put(FolderResponseStore(tmp_path, 24))
    assert get(FolderResponseStore(tmp_path, 24)) == RECORD


def test_old_responses_are_not_found_and_are_swept(tmp_path: Path) -> None:
    """With what a killed worker left unfinished; other files stay."""
    store = FolderResponseStore(tmp_path, 1)
    put(store)
    unfinished = tmp_path / "11" / f"{'3' * 32}.json.z.part"
    foreign = tmp_path / "notes.txt"
    for path in (unfinished, foreign):
        path.write_text("x")
    old = time.time() - 3700
    for path in tmp_path.rglob("*"):
        if path.is_file():
            os.utime(path, (old, old))
    assert get(store) is None
    put(FolderResponseStore(tmp_path, 1), TWO)
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {f"{'2' * 32}.json.z", "notes.txt"}


def test_a_damaged_file_is_not_found_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It costs that response and no more."""
    store = FolderResponseStore(tmp_path, 24)
    put(store)
    (tmp_path / "11" / f"{'1' * 32}.json.z").write_bytes(b"damaged")
    assert get(store) is None
    assert f"the stored response {ONE} cannot be read" in caplog.text


def test_a_folder_that_cannot_be_written_stores_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The request is answered all the same; the log says why."""
    (tmp_path / "file").write_text("x")
    assert not put(FolderResponseStore(tmp_path / "file", 24))
    assert f"the response {ONE} cannot be stored" in caplog.text


def test_off_keeps_nothing() -> None:
    """Nor does it claim to."""
    store = NoResponseStore()
    assert not store.is_on
    assert not put(store)
    assert get(store) is None


def test_the_settings_say_which(tmp_path: Path) -> None:
    """RESPONSE_STORE."""
    assert isinstance(response_store(Settings()), MemoryResponseStore)
    assert isinstance(response_store(Settings(response_store="off")), NoResponseStore)
    folder = response_store(Settings(response_store=str(tmp_path), response_store_hours=0.5))
    assert isinstance(folder, FolderResponseStore)
    assert "for 0.5 hours" in folder.advice

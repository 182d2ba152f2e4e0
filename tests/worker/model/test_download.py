"""Downloads, from a Hub on loopback: what is asked for, what is kept, and what is said."""

import asyncio
import errno
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from huggingface_hub import constants

from tests.support import ROOT
from tests.support.http_server import until
from tests.support.hub import COMMIT, NAME, LoopbackHub, gpt_oss_files, loopback_hub, safetensors
from worker.errors import ServerError
from worker.model import download as module
from worker.model import files
from worker.model.download import Download, Outcome, cache_for, download, fetch
from worker.settings import Settings, SettingsError

NEEDED = {
    "config.json",
    "tokenizer.json",
    "chat_template.jinja",
    "model.safetensors.index.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """An engine that booted in this process has taken it offline."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with loopback_hub() as hub:
        yield hub


def wanted(hub: LoopbackHub, cache: Path, **more: Any) -> Download:
    return Download(model=NAME, cache=cache, endpoint=hub.url, **more)


class Process:
    """A download in a process of its own, as the worker starts it."""

    def __init__(self, wanted: Download) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-m", "worker.model.download"],
            cwd=ROOT,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(wanted.model_dump_json())
        self.process.stdin.close()
        self.process.stdin = None

    def end(self) -> tuple[Outcome, str]:
        """Waits until it has ended. Returns its outcome and its log."""
        output, logged = self.process.communicate(timeout=60)
        return Outcome.model_validate_json(output), logged

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def expected() -> Mapping[str, bytes]:
    return {name: content for name, content in gpt_oss_files().items() if name in NEEDED}


def test_only_what_serving_needs_is_downloaded(hub: LoopbackHub, tmp_path: Path) -> None:
    """Each file once; nothing of `original/` and `metal/`, which are the weights in other forms."""
    folder = download(wanted(hub, tmp_path))
    assert content_of(folder) == expected()
    assert sorted(hub.requests) == sorted(NEEDED)
    assert folder == tmp_path / "models--openai--gpt-oss-20b" / "snapshots" / COMMIT


def test_what_was_downloaded_is_found_without_the_hub(hub: LoopbackHub, tmp_path: Path) -> None:
    """The next start asks nobody."""
    folder = download(wanted(hub, tmp_path))
    hub.stop()
    assert files.find(NAME, Settings(hf_hub_cache=str(tmp_path))) == folder


def test_a_revision_is_found_under_its_name(hub: LoopbackHub, tmp_path: Path) -> None:
    """A branch or tag is noted in the cache; a commit needs no note."""
    hub.branches["v2"] = COMMIT
    folder = download(wanted(hub, tmp_path, revision="v2"))
    settings = Settings(hf_hub_cache=str(tmp_path), model_revision="v2")
    assert files.find(NAME, settings) == folder
    assert download(wanted(hub, tmp_path, revision=COMMIT)) == folder
    assert sorted(hub.requests) == sorted(NEEDED)


def test_a_failed_update_leaves_the_old_copy_in_use(hub: LoopbackHub, tmp_path: Path) -> None:
    """A revision is noted only when all its files are there."""
    folder = download(wanted(hub, tmp_path))
    reference = tmp_path / "models--openai--gpt-oss-20b" / "refs" / "main"
    old = folder.rename(folder.with_name("0ddba11" + "0" * 33))
    reference.write_text(old.name)
    hub.files = {**gpt_oss_files(), SHARDS[0]: safetensors("tensor0", 7), SHARDS[1]: b"damaged"}
    with pytest.raises(ServerError, match="has 7 of"):
        download(wanted(hub, tmp_path))
    assert files.find(NAME, Settings(hf_hub_cache=str(tmp_path))) == old


def test_a_killed_download_goes_on_with_the_files_it_lacks(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    """Whole files stay, partial ones are removed; the lock of a dead process holds nobody up."""
    hub.files = {**gpt_oss_files(1000), SHARDS[1]: safetensors("tensor1", 5_000_000)}
    hub.bytes_per_second = 200_000
    blobs = tmp_path / "models--openai--gpt-oss-20b" / "blobs"
    first = Process(wanted(hub, tmp_path))
    until(lambda: len(list(blobs.glob("*"))) == len(NEEDED) and hub.asked(SHARDS[1]))
    first.kill()
    assert list(blobs.glob("*.incomplete"))
    assert files.find(NAME, Settings(hf_hub_cache=str(tmp_path))) is None

    hub.bytes_per_second = None
    outcome, logged = Process(wanted(hub, tmp_path)).end()
    assert outcome.folder is not None
    assert content_of(outcome.folder) == {name: hub.files[name] for name in NEEDED}
    assert {name: hub.asked(name) for name in NEEDED} == {
        name: 2 if name == SHARDS[1] else 1 for name in NEEDED
    }
    assert not list(blobs.glob("*.incomplete"))
    assert "taking over from a worker that has died" in logged


def test_two_workers_on_one_volume_download_once(hub: LoopbackHub, tmp_path: Path) -> None:
    """The second waits, and uses what the first downloaded."""
    hub.bytes_per_second = 200_000
    both = [Process(wanted(hub, tmp_path)) for _ in range(2)]
    ends = [process.end() for process in both]
    assert [outcome.folder for outcome, _ in ends] == [
        tmp_path / "models--openai--gpt-oss-20b" / "snapshots" / COMMIT
    ] * 2
    assert sorted(hub.requests) == sorted(NEEDED)
    assert sum("waiting for another worker" in logged for _, logged in ends) == 1


def test_progress_is_logged(
    hub: LoopbackHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """How much of how much, how fast, and how long it will take."""
    monkeypatch.setattr(module, "PROGRESS_SECONDS", 0.2)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    hub.bytes_per_second = 300_000
    hub.files = {**gpt_oss_files(1000), SHARDS[1]: safetensors("tensor1", 450_000)}
    with caplog.at_level(logging.INFO):
        download(wanted(hub, tmp_path))
    lines = [record.message for record in caplog.records if record.name == module.__name__]
    assert lines[0].startswith(f"downloading {NAME}: 451.3 kB to {tmp_path}, which has ")
    assert lines[-1].startswith("downloaded 451.3 kB in ")
    assert all(
        line.startswith(f"downloading {NAME}: ") and " of 451.3 kB, " in line
        for line in lines[1:-1]
    )
    assert any(line.endswith(" s left") for line in lines[1:-1])


def test_nothing_but_the_log_is_printed(hub: LoopbackHub, tmp_path: Path) -> None:
    """No bars, no warnings of huggingface_hub."""
    _, logged = Process(wanted(hub, tmp_path)).end()
    assert all(" INFO worker.model." in line for line in logged.splitlines()), logged


class Refusal(NamedTuple):
    """What the Hub answers, what was set, and what the worker says."""

    status: int
    headers: Mapping[str, str]
    settings: Mapping[str, str]
    message: str


REFUSALS = {
    "a bad token": Refusal(
        401,
        {"X-Error-Message": "Invalid credentials in Authorization header"},
        {"token": "hf_wrong"},
        "HUB does not accept HF_TOKEN (401): set a valid token, or none.",
    ),
    "no such model, or a private one, without a token": Refusal(
        401,
        {},
        {},
        f"MODEL='{NAME}' was not found on HUB: correct MODEL, or set HF_TOKEN to a token if it is "
        "private.",
    ),
    "no such model with a token": Refusal(
        404,
        {"X-Error-Code": "RepoNotFound"},
        {"token": "hf_valid"},
        f"MODEL='{NAME}' was not found on HUB: correct MODEL, or set HF_TOKEN to a token that may "
        "read it.",
    ),
    "no such revision": Refusal(
        404,
        {"X-Error-Code": "RevisionNotFound"},
        {"revision": "v9"},
        f"MODEL='{NAME}' has no revision MODEL_REVISION='v9'.",
    ),
    "a gated model without a token": Refusal(
        401,
        {"X-Error-Code": "GatedRepo"},
        {},
        f"MODEL='{NAME}' is gated: accept its terms at HUB/{NAME} and set HF_TOKEN.",
    ),
    "a gated model, whose terms were not accepted": Refusal(
        403,
        {"X-Error-Code": "GatedRepo"},
        {"token": "hf_valid"},
        f"MODEL='{NAME}' is gated: accept its terms at HUB/{NAME} and request access with the "
        "account of HF_TOKEN.",
    ),
    "a token without the right to read": Refusal(
        403,
        {},
        {"token": "hf_valid"},
        f"HUB forbids reading MODEL='{NAME}' (403): set HF_TOKEN to a token that may.",
    ),
    "a rate limit": Refusal(
        429,
        {"Retry-After": "300"},
        {},
        "HUB limits requests (429): set HF_TOKEN for a higher limit, or use a network volume or "
        "RunPod's cached models, which need no download for each worker.",
    ),
    "a Hub that fails": Refusal(
        503,
        {},
        {},
        f"HUB failed with status 503 for MODEL='{NAME}': try again, or check HF_ENDPOINT.",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_is_said_in_one_line(hub: LoopbackHub, tmp_path: Path, refusal: Refusal) -> None:
    """At once, with the setting to change; no token is shown. Another try may help only against a
    rate limit and a Hub that fails."""
    hub.refuse = refusal.status, refusal.headers
    started = time.monotonic()
    kind = ServerError if refusal.status in (429, 503) else SettingsError
    with pytest.raises(kind) as failed:
        download(wanted(hub, tmp_path, **refusal.settings))
    assert str(failed.value) == refusal.message.replace("HUB", hub.url)
    assert time.monotonic() - started < 3
    assert not list(tmp_path.iterdir())


def test_a_valid_token_is_sent(hub: LoopbackHub, tmp_path: Path) -> None:
    """With every request."""
    hub.token = "hf_valid"
    assert download(wanted(hub, tmp_path, token="hf_valid"))


def test_an_unreachable_hub_is_said_in_one_line(hub: LoopbackHub, tmp_path: Path) -> None:
    """After three tries in two seconds: a container's network may come up late."""
    hub.stop()
    with pytest.raises(ServerError) as failed:
        download(wanted(hub, tmp_path))
    assert failed.value.message.startswith(
        f"MODEL='{NAME}' was not found here, and {hub.url} cannot be reached ("
    )
    assert "HF_ENDPOINT" in failed.value.message
    assert "\n" not in failed.value.message


def test_a_server_that_is_no_hub_is_said(hub: LoopbackHub, tmp_path: Path) -> None:
    """A proxy's login page, for example."""
    hub.refuse = 200, {"Content-Type": "text/html"}
    with pytest.raises(ServerError, match="does not answer like the Hub"):
        download(wanted(hub, tmp_path))


def test_offline_is_said(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE is Hugging Face's own setting."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    outcome, logged = Process(wanted(hub, tmp_path)).end()
    assert outcome.error is not None
    assert outcome.error.startswith(f"HF_HUB_OFFLINE is set, and MODEL='{NAME}' was not found here")
    assert logged == ""


def test_without_any_network_it_is_said(tmp_path: Path) -> None:
    """Not even loopback; names cannot be resolved either."""
    unshare = [shutil.which("unshare") or "unshare", "-n"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("needs unshare -n, to be without a network")
    request = Download(model=NAME, cache=tmp_path, endpoint="https://huggingface.co")
    started = time.monotonic()
    done = subprocess.run(
        [*unshare, sys.executable, "-m", "worker.model.download"],
        cwd=ROOT,
        input=request.model_dump_json(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert time.monotonic() - started < 10
    assert done.returncode == 1
    assert done.stderr == ""
    error = Outcome.model_validate_json(done.stdout).error
    assert error is not None
    assert "https://huggingface.co cannot be reached" in error


def test_a_model_that_does_not_fit_on_the_disk_is_not_begun(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes come first, free space is compared, and the message has both."""
    usage = shutil.disk_usage(tmp_path)._replace(free=268_900_000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ServerError) as failed:
        download(wanted(hub, tmp_path))
    assert failed.value.message == (
        f"{NAME} needs 600.3 kB and 268.4 MB to spare, but {tmp_path} has 268.9 MB free: use a "
        "larger disk or network volume, or set HF_HUB_CACHE to a folder on one."
    )
    assert hub.requests == []


def test_only_what_is_missing_must_fit(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a download that was killed, the rest may be small."""
    folder = download(wanted(hub, tmp_path))
    (folder / SHARDS[1]).resolve().unlink()
    (folder / SHARDS[1]).unlink()
    usage = shutil.disk_usage(tmp_path)._replace(free=268_800_000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    assert download(wanted(hub, tmp_path)) == folder


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_a_disk_that_becomes_full_is_said(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network volume may report more free space than its quota has. Nothing partial is left."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        usage = shutil.disk_usage(disk)._replace(free=10**12)
        monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
        with pytest.raises(ServerError) as failed:
            download(wanted(hub, disk))
        assert failed.value.message.startswith(f"{NAME} needs more space, but {disk} has ")
        assert not list(disk.rglob("*.incomplete"))
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_cache_that_cannot_be_written_is_said(hub: LoopbackHub, tmp_path: Path) -> None:
    """Here, a file is where the folder would be."""
    (tmp_path / "cache").write_text("")
    with pytest.raises(ServerError, match=r"could not be downloaded to .*cache: "):
        download(wanted(hub, tmp_path / "cache"))


def test_a_model_without_safetensors_is_refused(hub: LoopbackHub, tmp_path: Path) -> None:
    """Before anything is downloaded."""
    hub.files = {"config.json": b"{}", "model.gguf": b"gguf"}
    with pytest.raises(SettingsError, match="has no weights in the safetensors format"):
        download(wanted(hub, tmp_path))
    assert hub.requests == []


def test_what_arrives_damaged_is_not_used(hub: LoopbackHub, tmp_path: Path) -> None:
    """The weights are compared with their own headers."""
    hub.files = {**gpt_oss_files(), SHARDS[0]: gpt_oss_files()[SHARDS[0]][:-1]}
    with pytest.raises(ServerError, match=r"model-00001-of-00002\.safetensors has \d+ of"):
        download(wanted(hub, tmp_path))


def settings_for(hub: LoopbackHub, cache: Path, **more: Any) -> Settings:
    return Settings(hf_endpoint=hub.url, hf_hub_cache=str(cache), **more)


def test_the_worker_gets_the_folder(hub: LoopbackHub, tmp_path: Path) -> None:
    """From a process, which gets the settings, the token among them."""
    hub.token = "hf_valid"
    settings = settings_for(hub, tmp_path, hf_token="hf_valid")
    folder = asyncio.run(fetch(NAME, settings))
    assert content_of(folder) == expected()


def test_the_worker_gets_the_error(hub: LoopbackHub, tmp_path: Path) -> None:
    """The same line."""
    with pytest.raises(SettingsError, match="was not found on http://127"):
        asyncio.run(fetch("openai/gpt-oss-7b", settings_for(hub, tmp_path)))


def test_a_worker_that_is_told_to_stop_stops_the_download(hub: LoopbackHub, tmp_path: Path) -> None:
    """At once; a thread would have to be waited for."""
    hub.bytes_per_second = 10_000

    async def begin_and_stop() -> float:
        fetching = asyncio.create_task(fetch(NAME, settings_for(hub, tmp_path)))
        await asyncio.to_thread(until, lambda: hub.requests)
        stopped = time.monotonic()
        fetching.cancel()
        await asyncio.wait({fetching})
        return time.monotonic() - stopped

    assert asyncio.run(begin_and_stop()) < 1


def test_a_download_ends_with_its_worker(hub: LoopbackHub, tmp_path: Path) -> None:
    """However that ended: a parent that is gone is noticed within two seconds."""
    hub.bytes_per_second = 10_000
    process = Process(wanted(hub, tmp_path, parent=os.getpid() + 1))
    assert process.process.wait(30) == 1
    process.kill()


def test_downloads_go_to_the_volume_if_there_is_one(tmp_path: Path) -> None:
    """HF_HUB_CACHE and HF_HOME come first; without a volume, it is the container's cache."""
    volume = tmp_path / "volume"
    volume.mkdir()
    on_volume = volume / "huggingface-cache" / "hub"
    assert cache_for(Settings(volume_folder=str(volume))) == on_volume
    assert cache_for(Settings(volume_folder=str(volume), hf_home="/a")) == Path("/a/hub")
    assert cache_for(Settings(hf_home="/a", hf_hub_cache="/b")) == Path("/b")
    assert cache_for(Settings()) == Path(constants.HF_HUB_CACHE)


def test_a_full_quota_is_a_full_disk(tmp_path: Path) -> None:
    """Network volumes report EDQUOT; errors of hf_xet have the text, but no number."""
    for error in (
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("IO Error: No space left on device (os error 28)"),
    ):
        message = module._explanation(error, Download(model=NAME, cache=tmp_path))
        assert message.startswith(f"{NAME} needs more space")

"""Downloads a model from the Hugging Face Hub, in a process of its own.

huggingface_hub does the work: it lists the files, downloads several at once and moves each into its
cache when it is whole, so a cache never has half a file. It keeps no partial files: after a kill,
whole files stay, and the others are downloaded from their beginning. That is why only
`FILES_AT_ONCE` are (of 120b's fifteen files of 4.6 GB): more at once would all be unfinished.

This module adds what a worker needs: one-line errors that name the setting to change, the free
space checked before the first byte, progress lines in the log instead of bars, one download
for all workers on a volume (download_lock.py), and the check of what arrived (files.py).

It is a process because a thread cannot be stopped: a worker that is told to end during a download
would have to wait for it. The parent writes a `Download` to its standard input and reads the
`Outcome` from its standard output; the log goes to standard error. It ends if its parent does.
"""

import asyncio
import errno
import logging
import os
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
from huggingface_hub import DryRunFileInfo, HfApi, ResolvedRevision, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import tqdm
from huggingface_hub.utils.logging import set_verbosity_error
from pydantic import BaseModel, ConfigDict

from worker import logs
from worker.errors import ServerError
from worker.model.download_lock import hold, repeated
from worker.model.files import (
    CACHE_ON_VOLUME,
    NEEDED,
    NOT_NEEDED,
    VOLUMES,
    check_files,
    check_type,
    did_you_mean,
    own_cache,
)
from worker.settings import Settings, SettingsError

log = logging.getLogger(__name__)

ROOT = Path(__file__).parent.parent.parent
FILES_AT_ONCE = 4
SPARE_BYTES = 256 * 2**20
"""What must stay free on the disk."""
PROGRESS_SECONDS = 5.0
RATE_SECONDS = 30.0
"""The rate that is logged is the average of this time."""
LOOK_UP_SECONDS = 5.0
"""Time limit for the Hub's first answer."""
LOOK_UP_PAUSES = (0.5, 1.5)
"""Seconds before the second and third try to reach the Hub: a container's network may come up after
the container."""


class Download(BaseModel):
    """What to download, and to which cache. `parent`: the process that ends this one's life."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model: str
    cache: Path
    revision: str | None = None
    token: str | None = None
    endpoint: str | None = None
    log_level: int = logging.INFO
    parent: int | None = None

    @property
    def hub(self) -> str:
        """The Hub's address."""
        return self.endpoint or constants.ENDPOINT

    @property
    def repository(self) -> Path:
        """The model's folder in the cache."""
        return self.cache / repo_folder_name(repo_id=self.model, repo_type="model")


class Outcome(BaseModel):
    """The folder with the complete files, or what is wrong.

    `is_wrong_setting`: whether only another setting helps, and not another try.
    """

    folder: Path | None = None
    error: str | None = None
    is_wrong_setting: bool = False


async def fetch(model: str, settings: Settings) -> Path:
    """Downloads a model in a process of its own. Returns the folder with its files.

    Cancelling it ends that process. Raises SettingsError or ServerError.
    """
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    wanted = Download(
        model=model,
        cache=cache_for(settings),
        revision=settings.model_revision,
        token=token,
        endpoint=settings.hf_endpoint,
        log_level=settings.log_level_number,
        parent=os.getpid(),
    )
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__), stdin=pipe, stdout=pipe, cwd=ROOT
    )
    try:
        output, _ = await process.communicate(wanted.model_dump_json().encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if not output:
        raise ServerError(f"The download of {model} ended with exit code {process.returncode}.")
    outcome = Outcome.model_validate_json(output)
    if outcome.folder is None:
        kind = SettingsError if outcome.is_wrong_setting else ServerError
        raise kind(outcome.error or "")
    return outcome.folder


def main() -> int:
    """The process. Returns its exit status."""
    wanted = Download.model_validate_json(sys.stdin.read())
    logs.configure(wanted.log_level)
    set_verbosity_error()  # what matters of its warnings is in our own lines

    def end_with_parent() -> None:
        if wanted.parent is not None and os.getppid() != wanted.parent:
            os._exit(1)

    with repeated(1.0, end_with_parent):
        try:
            outcome = Outcome(folder=download(wanted))
        except SettingsError as error:
            outcome = Outcome(error=str(error), is_wrong_setting=True)
        except ServerError as error:
            outcome = Outcome(error=error.message)
    sys.stdout.write(outcome.model_dump_json())
    return 0 if outcome.error is None else 1


def cache_for(settings: Settings) -> Path:
    """Where to download to: a configured cache, else the network volume's, else the container's."""
    if settings.hf_hub_cache or settings.hf_home:
        return own_cache(settings)
    configured = settings.volume_folder
    mounted = [configured] if configured else [path for path in VOLUMES if os.path.ismount(path)]
    for volume in mounted:
        cache = Path(volume) / CACHE_ON_VOLUME
        if os.access(_existing(cache), os.W_OK):
            return cache
        log.warning("%s is not used for the download: it cannot be written to", cache)
    return own_cache(settings)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def download(wanted: Download) -> Path:
    """Downloads the files of a model that are missing. Returns the folder with all of them.

    Raises SettingsError or ServerError, whose message is one line.
    """
    try:
        commit = _look_up(wanted)
        progress = _Progress(wanted.model)
        lock = wanted.cache / ".locks" / wanted.repository.name / "worker.lock"
        with hold(lock, progress=progress.text) as from_dead_worker:
            if from_dead_worker:
                _remove_partial_files(wanted.repository)
            return _download(wanted, commit, progress)
    except (SettingsError, ServerError):
        raise
    except (OSError, httpx.HTTPError, ValueError, RuntimeError) as error:
        log.debug("the download failed", exc_info=True)
        kind = SettingsError if _is_wrong_setting(error) else ServerError
        raise kind(_explanation(error, wanted)) from error


def _look_up(wanted: Download) -> str:
    """The commit that the model's revision is at.

    Raises what huggingface_hub raises, and SettingsError if it is not a gpt-oss model.
    """
    api = HfApi(endpoint=wanted.endpoint, token=wanted.token, library_name="gpt-oss-worker")
    for pause in (*LOOK_UP_PAUSES, None):
        try:
            found = api.model_info(wanted.model, revision=wanted.revision, timeout=LOOK_UP_SECONDS)
        except httpx.NetworkError:
            if pause is None:
                raise
            time.sleep(pause)
        except (KeyError, TypeError) as error:
            raise ValueError("the answer is not a model's description") from error
        else:
            if found.sha is None:
                raise ValueError("the answer names no commit")
            check_type(wanted.model, found.config or {})
            return found.sha
    raise AssertionError("the last try returns or raises")


def _download(wanted: Download, commit: str, progress: "_Progress") -> Path:
    """Downloads a commit, unless another worker has done so meanwhile.

    The revision is noted in the cache only when all files are there: a revision's copy that was
    complete before is found until then.
    """
    common: dict[str, Any] = {
        "revision": ResolvedRevision(commit),
        "cache_dir": wanted.cache,
        "allow_patterns": list(NEEDED),
        "ignore_patterns": list(NOT_NEEDED),
        "endpoint": wanted.endpoint,
        "token": wanted.token,
        "tqdm_class": _bars_of(progress),
    }
    files: list[DryRunFileInfo] = snapshot_download(wanted.model, **common, dry_run=True)
    if not any(file.filename.endswith(".safetensors") for file in files):
        raise SettingsError(f"MODEL={wanted.model!r} has no weights in the safetensors format.")
    missing = [file for file in files if file.will_download]
    if missing:
        _check_space(wanted, missing)
        progress.begin(sum(file.file_size or 0 for file in missing))
        with repeated(PROGRESS_SECONDS, progress.report):
            snapshot_download(wanted.model, **common, max_workers=FILES_AT_ONCE)
        progress.end()
    folder = wanted.repository / "snapshots" / commit
    check_files(folder)
    _note_revision(wanted, commit)
    return folder


def _note_revision(wanted: Download, commit: str) -> None:
    reference = wanted.repository / "refs" / (wanted.revision or constants.DEFAULT_REVISION)
    if reference.name != commit:
        reference.parent.mkdir(parents=True, exist_ok=True)
        aside = reference.with_name(f"{reference.name}.{os.getpid()}.tmp")
        aside.write_text(commit)
        aside.replace(reference)


def _remove_partial_files(repository: Path) -> None:
    """Removes what a killed download left; huggingface_hub would neither use nor remove it."""
    for partial in (repository / "blobs").glob("*.incomplete"):
        log.info("removing %s, which a killed download left", partial.name)
        partial.unlink(missing_ok=True)


def _check_space(wanted: Download, files: Iterable[DryRunFileInfo]) -> None:
    """Raises ServerError if the files do not fit on the disk."""
    size = sum(file.file_size or 0 for file in files)
    free = shutil.disk_usage(_existing(wanted.cache)).free
    log.info(
        "downloading %s: %s to %s, which has %s free",
        *(wanted.model, _bytes(size), wanted.cache, _bytes(free)),
    )
    if size + SPARE_BYTES > free:
        raise ServerError(_no_space(wanted, f"{_bytes(size)} and {_bytes(SPARE_BYTES)} to spare"))


def _no_space(wanted: Download, needed: str) -> str:
    free = shutil.disk_usage(_existing(wanted.cache)).free
    return (
        f"{wanted.model} needs {needed}, but {wanted.cache} has {_bytes(free)} free: use a larger "
        "disk or network volume, or set HF_HUB_CACHE to a folder on one."
    )


class _Progress:
    """Counts the bytes of a download and says how far it is. Threads may call all methods."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._total = 0
        self._done = 0
        self._adding = threading.Lock()
        self._begun = time.monotonic()
        self._samples: deque[tuple[float, int]] = deque()

    def begin(self, total: int) -> None:
        self._total, self._begun = total, time.monotonic()
        self._samples.append((self._begun, 0))

    def add(self, size: float) -> None:
        with self._adding:
            self._done += int(size)

    def report(self) -> None:
        now = time.monotonic()
        while len(self._samples) > 1 and now - self._samples[1][0] > RATE_SECONDS:
            self._samples.popleft()
        since, before = self._samples[0]
        rate = (self._done - before) / (now - since)
        self._samples.append((now, self._done))
        left = f"{(self._total - self._done) / rate:.0f} s left" if rate > 0 else "stalled"
        log.info("downloading %s: %s, %s/s, %s", self._model, self.text(), _bytes(rate), left)

    def end(self) -> None:
        seconds = time.monotonic() - self._begun
        rate = _bytes(self._total / max(seconds, 0.001))
        log.info("downloaded %s in %.0f s (%s/s)", _bytes(self._total), seconds, rate)

    def text(self) -> str:
        if not self._total:
            return "listing the files"
        return f"{_bytes(self._done)} of {_bytes(self._total)}"


def _bars_of(progress: _Progress) -> type[tqdm]:
    """The class of huggingface_hub's progress bars, which shows none and counts instead.

    Of the three bars of a snapshot, one counts the bytes that are written to disk; the names of
    bars are public (`disable_progress_bars`).
    """

    class Bar(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._counts = options.get("name") == "huggingface_hub.snapshot_download"
            super().__init__(*arguments, **(options | {"disable": True}))

        def update(self, n: float | None = 1) -> bool | None:
            if self._counts:
                progress.add(n or 0)
            return super().update(n)

    return Bar


def _bytes(size: float) -> str:
    """A size in the units of disks and network rates, which are powers of ten."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} bytes"


def _is_wrong_setting(error: Exception) -> bool:
    """Whether the Hub refuses this model to this token, or may not be asked at all."""
    error = _cause(error)
    refused = isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403, 404)
    return refused or isinstance(error, OfflineModeIsEnabled)


def _cause(error: Exception) -> Exception:
    """When the Hub fails, huggingface_hub looks into its cache, and complains about that."""
    local = isinstance(error, LocalEntryNotFoundError)
    return error.__cause__ if local and isinstance(error.__cause__, Exception) else error


def _explanation(error: Exception, wanted: Download) -> str:
    """What is wrong and what to set, in one line."""
    error = _cause(error)
    if isinstance(error, HfHubHTTPError):
        return _refusal(error, wanted)
    model = f"MODEL={wanted.model!r}"
    instead = "or attach a volume or an image that has the model"
    if isinstance(error, OfflineModeIsEnabled):
        return f"HF_HUB_OFFLINE is set, and {model} was not found here: unset it, {instead}."
    if isinstance(error, httpx.HTTPError):
        reason = _first_line(error) or type(error).__name__
        return (
            f"{model} was not found here, and {wanted.hub} cannot be reached ({reason}): check the "
            f"network and HF_ENDPOINT, {instead}."
        )
    if _is_full(error):
        return _no_space(wanted, "more space")
    if isinstance(error, ValueError):
        reason = _first_line(error)
        return f"{wanted.hub} does not answer like the Hub ({reason}): check HF_ENDPOINT."
    return f"{model} could not be downloaded to {wanted.cache}: {_first_line(error)}"


def _is_full(error: Exception) -> bool:
    """Whether the disk or a quota is full. hf_xet says so in words, without the errno."""
    numbers = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError) and error.errno in numbers:
        return True
    return any(os.strerror(number) in str(error) for number in numbers)


def _refusal(error: HfHubHTTPError, wanted: Download) -> str:
    """What the Hub's status means.

    Without a token it says 401 for models that do not exist, are private or are gated.
    """
    model, status = f"MODEL={wanted.model!r}", error.response.status_code
    if isinstance(error, GatedRepoError):
        todo = "request access with the account of HF_TOKEN" if wanted.token else "set HF_TOKEN"
        return f"{model} is gated: accept its terms at {wanted.hub}/{wanted.model} and {todo}."
    if isinstance(error, RevisionNotFoundError):
        return f"{model} has no revision MODEL_REVISION={wanted.revision or 'main'!r}."
    if status == 401 and wanted.token:
        return f"{wanted.hub} does not accept HF_TOKEN (401): set a valid token, or none."
    if status in (401, 404) or isinstance(error, RepositoryNotFoundError):
        which = "a token that may read it" if wanted.token else "a token if it is private"
        return (
            f"{model} was not found on {wanted.hub}: correct MODEL, or set HF_TOKEN to {which}"
            f"{did_you_mean(wanted.model) or '.'}"
        )
    if status == 403:
        return f"{wanted.hub} forbids reading {model} (403): set HF_TOKEN to a token that may."
    if status == 429:
        return (
            f"{wanted.hub} limits requests (429): set HF_TOKEN for a higher limit, or use a "
            "network volume or RunPod's cached models, which need no download for each worker."
        )
    return f"{wanted.hub} failed with status {status} for {model}: try again, or check HF_ENDPOINT."


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


if __name__ == "__main__":
    sys.exit(main())

"""Finds the model's files on this machine, and checks that they are complete.

A Hugging Face cache is a folder with one folder for each model, `models--ORG--NAME`. In it,
`refs/REVISION` holds the commit that a branch or tag was at, and `snapshots/COMMIT` the files.

These places are searched, in this order; the first complete copy is used, and nobody is asked:
 1. MODEL itself, if it is a folder. It must be complete.
 2. Baked into the image: MODELS_FOLDER, which is laid out as `ORG/NAME` or as a cache; and the
    cache in the container's own file system.
 3. RunPod's cached models: the host has them at /runpod-volume/huggingface-cache/hub before the
    worker starts. Source: https://docs.runpod.io/serverless/endpoints/model-caching
 4. The network volume's cache: the same folder of a volume, which RunPod mounts at /runpod-volume
    on serverless workers and at /workspace on pods.

Otherwise the model is downloaded (download.py). Names are compared without regard to letter case,
as the Hub does; a cache that was made under another spelling counts.
"""

import difflib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from huggingface_hub.utils import validate_repo_id

from worker.errors import ServerError
from worker.settings import Settings, SettingsError

log = logging.getLogger(__name__)

NEEDED = ("*.safetensors", "*.json", "*.jinja")
NOT_NEEDED = ("*/*",)
"""Patterns of huggingface_hub, in which `*` also matches `/`. What serving needs is at the top of a
repository. Below are copies of the weights for other programs: gpt-oss has `original/` and
`metal/`, which would double or triple the download."""

VOLUMES = ("/runpod-volume", "/workspace")
CACHE_ON_VOLUME = Path("huggingface-cache", "hub")


class Place(NamedTuple):
    """Where models may be. `name`: in words."""

    name: str
    folder: Path


_SHORT_NAMES = {
    "demo": "demo",
    "gpt-oss-20b": "openai/gpt-oss-20b",
    "gpt-oss-120b": "openai/gpt-oss-120b",
}


def check_name(model: str) -> None:
    """Checks that MODEL can be a Hugging Face model ID, given that it is not a model's folder.

    Raises SettingsError.
    """
    if Path(model).is_dir():
        raise SettingsError(f"MODEL={model!r} is a folder, but it has no config.json")
    if model.startswith(("/", ".", "~")):
        raise SettingsError(f"MODEL={model!r} is not an existing folder")
    expected = Settings.model_fields["model"].description
    if "/" not in model:  # every gpt-oss model's ID has an organization
        raise SettingsError(f"MODEL must be {expected}, got {model!r}{did_you_mean(model)}")
    try:
        validate_repo_id(model)
    except HFValidationError:
        raise SettingsError(f"MODEL must be {expected}, got {model!r}") from None


def did_you_mean(model: str) -> str:
    """The end of a line about a name that is none: `; did you mean 'demo'?`, or nothing."""
    close = difflib.get_close_matches(model.lower().removeprefix("openai/"), _SHORT_NAMES, n=1)
    meant = _SHORT_NAMES[close[0]] if close else model
    return "" if meant == model else f"; did you mean {meant!r}?"


def check_type(model: str, config: Mapping[str, Any]) -> None:
    """Checks by its config.json that MODEL is a gpt-oss model. Raises SettingsError."""
    if (kind := config.get("model_type", "gpt_oss")) != "gpt_oss":
        raise SettingsError(
            f"MODEL={model!r} is not a gpt-oss model (its model_type is {kind!r}): this worker "
            "serves openai/gpt-oss-20b, openai/gpt-oss-120b and models fine-tuned from them."
        )


def read_config(folder: Path) -> Mapping[str, Any]:
    """The config.json of a model's folder; empty if there is none. Raises SettingsError."""
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text()) if file.exists() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{file} cannot be read: {error}") from None
    if not isinstance(config, dict):
        raise SettingsError(f"{file} is not a model's configuration: it must be a JSON object.")
    return cast("dict[str, Any]", config)


def is_model_folder(path: str) -> bool:
    return (Path(path) / "config.json").exists()


def find(model: str, settings: Settings) -> Path | None:
    """The folder with the complete files of `model`, a folder or model ID; None if there is none.

    Incomplete copies are logged. Raises SettingsError if `model` is an incomplete folder.
    """
    if is_model_folder(model):
        try:
            check_files(Path(model))
        except ServerError as error:
            raise SettingsError(f"MODEL={model!r} cannot be served: {error.message}") from error
        return Path(model)
    for place in places(settings):
        for folder in copies(model, settings.model_revision, place.folder):
            try:
                check_files(folder)
            except ServerError as error:
                log.warning("%s of %s is not used: %s", folder, place.name, error.message)
                continue
            log.info("using the files in %s (%s)", folder, place.name)
            return folder
    return None


def places(settings: Settings) -> Iterator[Place]:
    """Where to search, in order."""
    yield Place("the image", Path(settings.models_folder))
    yield Place("the container's cache", own_cache(settings))
    for volume in volumes(settings):
        yield Place("RunPod's or the volume's cache", volume / CACHE_ON_VOLUME)


def volumes(settings: Settings) -> list[Path]:
    """The folders where a network volume may be mounted."""
    configured = settings.volume_folder
    return [Path(configured)] if configured else [Path(volume) for volume in VOLUMES]


def own_cache(settings: Settings) -> Path:
    """HF_HUB_CACHE, or the cache in HF_HOME, or Hugging Face's default in the home directory."""
    if settings.hf_hub_cache:
        return Path(settings.hf_hub_cache)
    return Path(settings.hf_home) / "hub" if settings.hf_home else Path(constants.HF_HUB_CACHE)


def copies(model: str, revision: str | None, folder: Path) -> Iterator[Path]:
    """The copies of a model in a folder of models, which may be a cache; complete or not."""
    for found in _like(folder, f"models--{model.replace('/', '--')}"):
        if snapshot := _snapshot(found, revision):
            yield snapshot
    plain = [folder]
    for part in model.split("/"):
        plain = [found for parent in plain for found in _like(parent, part)]
    for found in filter(lambda path: is_model_folder(str(path)), plain):
        if revision:
            log.warning("%s is not used: it does not say whether it is %s", found, revision)
        else:
            yield found


def _like(parent: Path, name: str) -> list[Path]:
    """The folders in `parent` with a name like this one, exact matches first."""
    try:
        entries = [path for path in parent.iterdir() if path.name.lower() == name.lower()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        log.warning("%s cannot be searched: %s", parent, error.strerror)
        return []
    return sorted(filter(Path.is_dir, entries), key=lambda path: (path.name != name, path.name))


def _snapshot(repository: Path, revision: str | None) -> Path | None:
    """The snapshot of a revision in a model's folder of a cache.

    Without a revision it is that of `main`, or else the only one. huggingface_hub knows of a
    snapshot that it downloaded itself which files it must have.
    """
    commit = _commit(repository, revision)
    if not commit or not (repository / "snapshots" / commit).is_dir():
        return None
    try:
        snapshot_download(
            repository.name.removeprefix("models--").replace("--", "/"),
            revision=commit,
            cache_dir=repository.parent,
            local_files_only=True,
            allow_patterns=list(NEEDED),
            ignore_patterns=list(NOT_NEEDED),
        )
    except LocalEntryNotFoundError:
        log.warning("%s is not used: its download was not completed", repository)
        return None
    return repository / "snapshots" / commit


def _commit(repository: Path, revision: str | None) -> str | None:
    reference = repository / "refs" / (revision or constants.DEFAULT_REVISION)
    if reference.is_file():
        return reference.read_text().strip()
    if revision:
        return revision
    snapshots = repository / "snapshots"
    commits = list(snapshots.iterdir()) if snapshots.is_dir() else []
    return commits[0].name if len(commits) == 1 else None


def check_files(folder: Path) -> None:
    """Checks that a model's files are all there, and that its weights are complete.

    Raises ServerError.
    """
    try:
        _check_files(folder)
    except OSError as error:
        raise ServerError(f"{error.filename} cannot be read: {error.strerror}.") from None


def _check_files(folder: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise ServerError(f"The model file {name} is missing in {folder}.")
    names = _weights(folder)
    if not names:
        raise ServerError(f"The model directory {folder} contains no weights.")
    for name in sorted(names):
        check_weights(folder / name)


def _weights(folder: Path) -> set[str]:
    """The names of the weights files: those in the index, or the only one there is."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        try:
            return set(json.loads(index.read_text())["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ServerError(f"The model file {index} is damaged.") from None
    names = {path.name for path in folder.glob("*.safetensors")}
    if any("-of-" in name for name in names):
        raise ServerError(f"The model file {index.name} is missing in {folder}.")
    return names


def check_weights(path: Path) -> None:
    """Checks that a file has the size that its header implies. Raises ServerError.

    Source: the safetensors format: 8 bytes with the header's size, a JSON header, the tensors.
    """
    if not path.exists():
        raise ServerError(f"The model file {path.name} is missing.")
    with path.open("rb") as file:
        head = file.read(8)
        length = int.from_bytes(head, "little")
        actual = path.stat().st_size
        header = file.read(length) if len(head) == 8 and length < actual else b"{}"
    try:
        tensors = [v for k, v in json.loads(header).items() if k != "__metadata__"]
        expected = 8 + length + max((t["data_offsets"][1] for t in tensors), default=0)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ServerError(f"The model file {path.name} is damaged.") from None
    if actual != expected:
        raise ServerError(f"The model file {path.name} has {actual} of {expected} bytes.")

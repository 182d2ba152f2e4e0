"""Where the model's files are looked for, and when they count as complete."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.hub import COMMIT, NAME, gpt_oss_files
from worker.errors import ServerError
from worker.model import DEMO_FOLDER, files
from worker.settings import Settings, SettingsError

OTHER_COMMIT = "0ddba11" + "0" * 33


def write(folder: Path, content: Mapping[str, bytes]) -> Path:
    """Writes a model's files, without those that serving does not need."""
    for name in (name for name in content if "/" not in name):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content[name])
    return folder


def cached(
    cache: Path,
    name: str = "models--openai--gpt-oss-20b",
    *,
    commit: str = COMMIT,
    ref: str = "main",
) -> Path:
    """Puts a model into a Hugging Face cache."""
    if ref:
        (cache / name / "refs").mkdir(parents=True, exist_ok=True)
        (cache / name / "refs" / ref).write_text(commit)
    return write(cache / name / "snapshots" / commit, gpt_oss_files())


class Machine:
    """A machine's folders: the image's, the container's cache and a network volume."""

    def __init__(self, folder: Path) -> None:
        self.image = folder / "models"
        self.container = folder / "home"
        self.volume = folder / "volume"
        self.volume_cache = self.volume / "huggingface-cache" / "hub"

    def find(self, model: str = NAME, revision: str | None = None) -> Path | None:
        settings = Settings(
            models_folder=str(self.image),
            hf_hub_cache=str(self.container),
            volume_folder=str(self.volume),
            model_revision=revision,
        )
        return files.find(model, settings)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_folder_is_the_model() -> None:
    """It is used as it is, whatever else there may be."""
    assert files.find(str(DEMO_FOLDER), Settings()) == DEMO_FOLDER


def test_a_model_is_found_in_the_image_first_then_on_the_volume(machine: Machine) -> None:
    """An image that has the model does not depend on what is mounted."""
    assert machine.find() is None
    on_volume = cached(machine.volume_cache)
    assert machine.find() == on_volume
    in_container = cached(machine.container)
    assert machine.find() == in_container
    in_image = write(machine.image / "openai" / "gpt-oss-20b", gpt_oss_files())
    assert machine.find() == in_image
    in_images_cache = cached(machine.image)
    assert machine.find() == in_images_cache


@pytest.mark.parametrize(
    ("cached_as", "asked_for"),
    [
        ("models--OpenAI--GPT-OSS-20B", "openai/gpt-oss-20b"),
        ("models--openai--gpt-oss-20b", "OpenAI/GPT-OSS-20b"),
    ],
)
def test_letter_case_does_not_matter(machine: Machine, cached_as: str, asked_for: str) -> None:
    """RunPod's cache has the name as it was typed in the console; the Hub accepts any."""
    snapshot = cached(machine.volume_cache, cached_as)
    assert machine.find(asked_for) == snapshot
    shutil.rmtree(machine.volume_cache)
    plain = write(machine.image / "OpenAI" / "GPT-OSS-20B", gpt_oss_files())
    assert machine.find(asked_for) == plain


def test_the_exact_spelling_wins(machine: Machine) -> None:
    """On a volume that has both."""
    cached(machine.volume_cache, "models--OpenAI--gpt-oss-20b")
    exact = cached(machine.volume_cache)
    assert machine.find() == exact


def test_main_is_used_unless_a_revision_is_set(machine: Machine) -> None:
    """A revision is a branch, a tag or a commit."""
    main = cached(machine.volume_cache)
    other = cached(machine.volume_cache, commit=OTHER_COMMIT, ref="v2")
    assert machine.find() == main
    assert machine.find(revision="v2") == other
    assert machine.find(revision=OTHER_COMMIT) == other
    assert machine.find(revision="v3") is None


def test_a_reference_may_end_in_a_newline(machine: Machine) -> None:
    """Not every tool that fills a cache is huggingface_hub."""
    snapshot = cached(machine.volume_cache)
    reference = machine.volume_cache / "models--openai--gpt-oss-20b" / "refs" / "main"
    reference.write_text(f"{COMMIT}\n")
    assert machine.find() == snapshot


def test_a_cache_without_references_must_have_one_snapshot(machine: Machine) -> None:
    """Of two, it cannot be known which is meant."""
    only = cached(machine.volume_cache, ref="")
    assert machine.find() == only
    cached(machine.volume_cache, commit=OTHER_COMMIT, ref="")
    assert machine.find() is None


def test_a_plain_folder_has_no_revision(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """MODEL_REVISION asks for certain files, and these may be others."""
    write(machine.image / "openai" / "gpt-oss-20b", gpt_oss_files())
    assert machine.find(revision="v2") is None
    assert "it does not say whether it is v2" in caplog.text


def test_an_incomplete_copy_is_passed_over(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """Which and why is in the log; a complete copy further down the list is used."""
    broken = cached(machine.container)
    (broken / "model-00002-of-00002.safetensors").unlink()
    assert machine.find() is None
    assert "model-00002-of-00002.safetensors is missing" in caplog.text
    whole = cached(machine.volume_cache)
    assert machine.find() == whole


def test_an_incomplete_folder_is_an_error(tmp_path: Path) -> None:
    """Who names a folder wants that one."""
    folder = write(tmp_path / "mine", gpt_oss_files())
    (folder / "tokenizer.json").unlink()
    with pytest.raises(SettingsError, match=r"tokenizer\.json is missing"):
        files.find(str(folder), Settings())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("/no/such/folder", "MODEL='/no/such/folder' is not an existing folder"),
        ("./gpt-oss", "MODEL='./gpt-oss' is not an existing folder"),
        ("tests", "MODEL='tests' is a folder, but it has no config.json"),
        (
            "open ai/gpt-oss",
            "MODEL must be a Hugging Face model ID, a local directory, or 'demo', ",
        ),
        (
            "Demo",
            (
                "MODEL must be a Hugging Face model ID, a local directory, or 'demo', got 'Demo'; "
                "did you mean 'demo'?"
            ),
        ),
        (
            "gpt-oss-20b",
            (
                "MODEL must be a Hugging Face model ID, a local directory, or 'demo', got "
                "'gpt-oss-20b'; did you mean 'openai/gpt-oss-20b'?"
            ),
        ),
        ("openai/gpt-oss/20b", "MODEL must be a Hugging Face model ID, a local directory, or"),
    ],
)
def test_what_can_be_no_model_is_refused_at_once(model: str, message: str) -> None:
    """Before anything is searched or asked."""
    with pytest.raises(SettingsError) as refused:
        files.check_name(model)
    assert str(refused.value).startswith(message)


def test_the_demo_models_files_are_complete() -> None:
    """As they were built."""
    files.check_files(DEMO_FOLDER)


def test_a_truncated_file_is_found(tmp_path: Path) -> None:
    """By the length that its own header implies."""
    folder = write(tmp_path, gpt_oss_files())
    weights = folder / "model-00001-of-00002.safetensors"
    with weights.open("r+b") as file:
        file.truncate(weights.stat().st_size - 1)
    with pytest.raises(ServerError, match=r"model-00001-of-00002\.safetensors has \d+ of \d+ b"):
        files.check_files(folder)
    weights.write_bytes(b"\x08")
    with pytest.raises(ServerError, match="has 1 of"):
        files.check_files(folder)


def test_a_damaged_header_is_found(tmp_path: Path) -> None:
    """A file of zeros, as a disk that was full may leave it."""
    folder = write(tmp_path, gpt_oss_files())
    (folder / "model-00001-of-00002.safetensors").write_bytes(bytes(5000))
    with pytest.raises(ServerError, match=r"model-00001-of-00002\.safetensors is damaged"):
        files.check_files(folder)


def test_every_file_that_the_index_names_must_be_there(tmp_path: Path) -> None:
    """The first that is missing is named."""
    folder = write(tmp_path, gpt_oss_files())
    (folder / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(ServerError, match=r"model-00001-of-00002\.safetensors is missing"):
        files.check_files(folder)


def test_shards_need_an_index(tmp_path: Path) -> None:
    """Without it, a copy in which some are missing would look complete."""
    folder = write(tmp_path, gpt_oss_files())
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(ServerError, match=r"model\.safetensors\.index\.json is missing"):
        files.check_files(folder)


def test_an_index_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Half a file, or JSON of another kind."""
    folder = write(tmp_path, gpt_oss_files())
    for content in ("", json.dumps(["weight_map"])):
        (folder / "model.safetensors.index.json").write_text(content)
        with pytest.raises(ServerError, match=r"model\.safetensors\.index\.json is damaged"):
            files.check_files(folder)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Here it is a folder; on a volume, it may be a file of another user."""
    folder = write(tmp_path, gpt_oss_files())
    weights = folder / "model-00001-of-00002.safetensors"
    weights.unlink()
    weights.mkdir()
    with pytest.raises(ServerError, match=r"model-00001-of-00002\.safetensors cannot be read: "):
        files.check_files(folder)


def test_a_folder_without_weights_is_no_model(tmp_path: Path) -> None:
    """A config and a tokenizer alone cannot be served."""
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ServerError, match="contains no weights"):
        files.check_files(tmp_path)

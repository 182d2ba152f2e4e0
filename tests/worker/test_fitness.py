"""Fitness: what a worker checks before it takes its first job."""

import json
import shutil
from pathlib import Path

import pytest

from worker import fitness
from worker.errors import ServerError
from worker.model import DEMO_FOLDER, Model
from worker.settings import Settings


def test_the_demo_models_files_are_whole() -> None:
    """As they were built."""
    fitness.check_files(DEMO_FOLDER)


def test_a_file_that_was_cut_is_found(tmp_path: Path) -> None:
    """By the length that its own header says."""
    weights = tmp_path / "model.safetensors"
    shutil.copy(DEMO_FOLDER / "model.safetensors", weights)
    with weights.open("r+b") as file:
        file.truncate(weights.stat().st_size - 1)
    with pytest.raises(ServerError, match=r"model\.safetensors has \d+ of \d+ bytes"):
        fitness.check_files(tmp_path)
    weights.write_bytes(b"\x08")
    with pytest.raises(ServerError, match="has 1 of"):
        fitness.check_files(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Every file that the index names must be there."""
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ServerError, match=r"model-00001-of-00002\.safetensors is missing"):
        fitness.check_files(tmp_path)


def test_a_folder_without_weights_is_no_model(tmp_path: Path) -> None:
    """A name that is no folder is left to the hub's client."""
    with pytest.raises(ServerError, match="contains no weights"):
        fitness.check_files(tmp_path)
    fitness.check_files(tmp_path / "openai" / "gpt-oss-20b")


def test_as_many_gpus_as_wanted_must_be_visible() -> None:
    """There are none here; the demo model needs none."""
    real = Model("x", ("x",), 10)
    with pytest.raises(ServerError, match="1000 GPUs are required"):
        fitness.check_gpus(Settings(tensor_parallel_size=1000), real)
    fitness.check_gpus(Settings(), Model("x", ("x",), 10, on_cpu=True))

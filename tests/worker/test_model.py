"""Which model is served."""

import json
from pathlib import Path

import pytest

from worker import model
from worker.model import resolve
from worker.settings import Settings, SettingsError


def test_the_demo_model_is_the_folder_that_make_builds() -> None:
    """Its name stays `demo`."""
    demo = resolve(Settings(model="demo"))
    assert demo.path == str(model.DEMO_FOLDER)
    assert demo.names == ("demo",)
    assert demo.context_length == 131072


def test_a_demo_model_that_is_not_built_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With what to do."""
    monkeypatch.setattr(model, "DEMO_FOLDER", tmp_path / "none")
    with pytest.raises(SettingsError, match="run `make setup`"):
        resolve(Settings(model="demo"))


def test_a_folder_says_how_long_its_context_is(tmp_path: Path) -> None:
    """MAX_MODEL_LEN can make it shorter, not longer."""
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 1000}))
    assert resolve(Settings(model=str(tmp_path))).context_length == 1000
    assert resolve(Settings(model=str(tmp_path), max_model_len=500)).context_length == 500


def test_a_hub_model_is_named_by_its_id() -> None:
    """Unless SERVED_MODEL_NAME names it."""
    assert resolve(Settings(model="openai/gpt-oss-120b")).names == ("openai/gpt-oss-120b",)
    named = resolve(Settings(model="openai/gpt-oss-120b", served_model_name=("a", "b")))
    assert named.names == ("a", "b")
    assert named.path == "openai/gpt-oss-120b"

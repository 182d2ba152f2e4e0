"""What SGLang's processes inherit from ours."""

import os
from pathlib import Path
from typing import Any

import pytest

from worker.engine.processes import go_offline, phases_of
from worker.engine.sglang_engine import SglangEngine


def offline(arguments: dict[str, Any]) -> str | None:
    go_offline(arguments)
    return os.environ.get("HF_HUB_OFFLINE")


@pytest.fixture(autouse=True)
def _as_unset(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """An empty value counts as unset. It is put back at the end."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "")


def test_the_engine_loads_the_folder_that_it_is_given(tmp_path: Path) -> None:
    """In place of the model's ID."""
    engine = SglangEngine({"model_path": "openai/gpt-oss-20b"})
    engine.use_files(tmp_path)
    assert engine._arguments["model_path"] == str(tmp_path)


def test_a_model_in_a_folder_needs_no_hub(tmp_path: Path) -> None:
    """SGLang would ask it nevertheless."""
    assert offline({"model_path": str(tmp_path)}) == "1"


def test_a_model_of_the_hub_needs_it() -> None:
    """ENGINE_ARGS can name one, as the model or beside it."""
    assert offline({"model_path": "openai/gpt-oss-20b"}) == ""


def test_a_draft_model_of_the_hub_needs_it(tmp_path: Path) -> None:
    """Only the served model's files are downloaded by the worker."""
    draft = {"speculative_draft_model_path": "nvidia/gpt-oss-120b-Eagle3"}
    assert offline({"model_path": str(tmp_path), **draft}) == ""


def test_hugging_faces_own_setting_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE=0 is a decision, too."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert offline({"model_path": str(tmp_path)}) == "0"


def test_the_phases_add_up_to_the_engines_start() -> None:
    """What SGLang does not name is the scheduler's; what is before its time is the spawn's."""
    startup = {
        "load_weight": 5.0,
        "kv_cache_allocation": 1.0,
        "scheduler_e2e": 20.0,
        "cuda_graph": {"prefill": 3.0, "decode": 4.0},
        "tokenizer_e2e": 2.0,
    }
    phases = phases_of(startup, 30.0)
    assert phases == {
        "spawn": 10.0,
        "weights": 5.0,
        "kv_cache": 1.0,
        "cuda_graphs": 7.0,
        "scheduler": 7.0,
    }
    assert sum(phases.values()) == 30.0

"""Which model is served."""

import json
from pathlib import Path

import pytest

from worker import model
from worker.model import resolve, size_of
from worker.model.fit import GPT_OSS_20B, GPT_OSS_120B
from worker.model.gpus import gpu_named
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


def test_auto_is_the_context_that_fits() -> None:
    """All of the model's where no GPU is known."""
    auto = Settings(model="openai/gpt-oss-20b", max_model_len=None)
    assert resolve(auto, [gpu_named("RTX A4000")]).context_length == 17_408
    assert resolve(auto, [gpu_named("RTX 4090")]).context_length == 131_072
    assert resolve(auto).context_length == 131_072
    assert resolve(Settings(model="demo", max_model_len=None)).context_length == 131_072


def test_the_context_is_that_of_engine_args() -> None:
    """Which wins, so that requests are checked against what the engine has."""
    settings = Settings(max_model_len=100_000, engine_args={"context_length": 50_000})
    assert resolve(settings).context_length == 50_000


def test_a_models_size_is_known_by_its_config_or_its_name() -> None:
    """One without MXFP4 weights, or of another's name, may have any size."""
    config = {"num_hidden_layers": 36, "num_local_experts": 128}
    mxfp4 = {"quantization_config": {"quant_method": "mxfp4"}}
    assert size_of("/models/mine", {**config, **mxfp4}) is GPT_OSS_120B
    assert size_of("/models/mine", config) is None
    assert size_of("openai/gpt-oss-20b", {}) is GPT_OSS_20B
    assert size_of("someone/gpt-oss-20b-finetune", {}) is None


def test_a_model_that_is_no_gpt_oss_is_refused(tmp_path: Path) -> None:
    """Before it is loaded: its output would not be Harmony."""
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(
        SettingsError, match=r"is not a gpt-oss model \(its model_type is 'llama'\)"
    ):
        resolve(Settings(model=str(tmp_path)))

"""Fitness: what a worker checks before it takes its first job."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub import NAME, LoopbackHub, loopback_hub
from tests.support.scripted_engine import ScriptedEngine
from worker import fitness
from worker.errors import ServerError
from worker.model import DEMO_FOLDER, Model, resolve
from worker.model.gpus import gpu_named
from worker.service import Service
from worker.settings import Settings


class LoadingEngine(ScriptedEngine):
    """Remembers the folder that it would load the model from."""

    folder: Path | None = None

    def use_files(self, folder: Path) -> None:
        self.folder = folder


def folder_given(settings: Settings) -> Path | None:
    """The folder that the engine gets at boot."""
    engine = LoadingEngine([])
    service = Service(engine, resolve(settings), settings)
    asyncio.run(fitness.provide_files(service, settings))
    return engine.folder


def settings_for(hub: LoopbackHub, folder: Path, **more: Any) -> Settings:
    return Settings(
        model=NAME,
        models_folder=str(folder / "models"),
        volume_folder=str(folder),
        hf_endpoint=hub.url,
        **more,
    )


def test_the_engine_gets_the_folder_with_the_models_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Downloaded at the first start, found at the next, with the Hub down."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with loopback_hub() as hub:
        settings = settings_for(hub, tmp_path)
        downloaded = folder_given(settings)
    assert downloaded is not None
    assert downloaded.is_relative_to(tmp_path / "huggingface-cache" / "hub")
    assert folder_given(settings) == downloaded


def test_a_model_that_is_a_folder_stays_there() -> None:
    """Such as the demo model."""
    assert folder_given(Settings(model="demo")) == DEMO_FOLDER


def test_an_engine_that_loads_no_files_needs_none() -> None:
    """Such as those of the tests: nothing is searched, and the Hub is not asked."""
    service = Service(ScriptedEngine([]), Model("x", ("x",), 10), Settings())
    asyncio.run(fitness.provide_files(service, Settings()))


def test_a_model_path_in_engine_args_is_left_to_sglang(tmp_path: Path) -> None:
    """ENGINE_ARGS wins over all; nothing is downloaded that would not be used."""
    with loopback_hub() as hub:
        settings = settings_for(hub, tmp_path, engine_args={"model_path": "openai/gpt-oss-120b"})
        assert folder_given(settings) is None
        assert hub.requests == []


def test_as_many_gpus_as_wanted_must_be_visible() -> None:
    """There are none here; the demo model needs none."""
    real = Model("x", ("x",), 10)
    with pytest.raises(ServerError, match="1000 GPUs are required"):
        fitness.check_gpus(Settings(tensor_parallel_size=1000), real)
    fitness.check_gpus(Settings(), Model("x", ("x",), 10, on_cpu=True))


def test_a_model_that_cannot_fit_is_refused_with_its_one_line() -> None:
    """Before its files are looked for."""
    model = resolve(Settings(model="openai/gpt-oss-120b"), [gpu_named("L4")])
    with pytest.raises(ServerError, match=r"^gpt-oss-120b does not fit on L4: .* on 4 GPUs\.$"):
        fitness.check_memory(model)
    fitness.check_memory(resolve(Settings(model="openai/gpt-oss-20b"), [gpu_named("L4")]))


def test_where_no_gpu_is_known_nothing_is_refused() -> None:
    """Nor a model whose size is not known."""
    fitness.check_memory(resolve(Settings(model="openai/gpt-oss-120b")))
    fitness.check_memory(resolve(Settings(model="someone/finetune"), [gpu_named("L4")]))
    fitness.check_memory(resolve(Settings(model="demo"), [gpu_named("RTX A4000")]))


def test_what_the_formula_does_not_know_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """With pipeline parallelism, it may fit all the same."""
    settings = Settings(model="openai/gpt-oss-120b", engine_args={"pp_size": 4})
    fitness.check_memory(resolve(settings, [gpu_named("L4")]))
    assert "gpt-oss-120b does not fit on L4" in caplog.text

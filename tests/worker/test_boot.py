"""The boot: what is checked and prepared before a worker takes its first request."""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from tests.support.hub import NAME, LoopbackHub, gpt_oss_files, loopback_hub
from tests.support.scripted_engine import ScriptedEngine, tokens
from worker import boot
from worker.api.routes import route_for
from worker.engine import Health
from worker.engine.port import Capacity, Load, WarmUpRequest
from worker.errors import ContextLengthExceeded
from worker.job_metrics import JobMetrics
from worker.model import DEMO_FOLDER, Model, resolve
from worker.model.gpus import gpu_named
from worker.service import Service
from worker.settings import Settings, SettingsError


class LoadingEngine(ScriptedEngine):
    """Remembers the folder that it would load the model from, and generates its warm-up."""

    folder: Path | None = None
    holds = Capacity(context_length=131072, kv_tokens=140_000)
    warm_up: Callable[[], Sequence[WarmUpRequest]]

    def use_files(self, folder: Path) -> None:
        self.folder = folder

    def warm_up_with(self, requests: Callable[[], Sequence[WarmUpRequest]]) -> None:
        self.warm_up = requests

    async def start(self) -> None:
        for index, (prompt, sampling) in enumerate(self.warm_up()):
            async with aclosing(self.generate(prompt, sampling, f"warm-up-{index}")) as steps:
                async for _ in steps:
                    pass
        await super().start()

    def load(self) -> Load:
        return Load(0, 0, 0.0, 0.0)

    def capacity(self) -> Capacity:
        return self.holds

    def boot_seconds(self) -> dict[str, float]:
        return {"weights": 2.0}


def booted(engine: LoadingEngine) -> Service:
    """The demo model's service on an engine."""
    settings = Settings(model="demo")
    service = Service(engine, resolve(settings), settings)
    asyncio.run(boot.boot(service, settings))
    return service


def folder_given(settings: Settings) -> Path | None:
    """The folder that the engine gets at boot."""
    engine = LoadingEngine([])
    service = Service(engine, resolve(settings), settings)
    asyncio.run(boot.provide_files(service, settings))
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
    asyncio.run(boot.provide_files(service, Settings()))


def test_a_model_path_in_engine_args_is_left_to_sglang(tmp_path: Path) -> None:
    """ENGINE_ARGS wins over all; nothing is downloaded that would not be used."""
    with loopback_hub() as hub:
        settings = settings_for(hub, tmp_path, engine_args={"model_path": "openai/gpt-oss-120b"})
        assert folder_given(settings) is None
        assert hub.requests == []


@pytest.mark.parametrize(
    ("size", "gpus", "line"),
    [
        (None, 0, "MODEL='x' needs an NVIDIA GPU, and none is visible"),
        (4, 2, "TENSOR_PARALLEL_SIZE=4, but 2 GPUs are visible: set it to that or less"),
        (1000, 1000, "TENSOR_PARALLEL_SIZE=1000 does not divide gpt-oss's 8 KV heads"),
    ],
)
def test_the_model_must_be_split_over_gpus_that_are_there(
    size: int | None, gpus: int, line: str
) -> None:
    """Also a fine-tuned model, whose memory is not known."""
    model = Model("x", ("x",), 10, gpus=gpus)
    with pytest.raises(SettingsError, match=line):
        boot.preflight(Settings(model="x", tensor_parallel_size=size), model)


def test_the_demo_model_needs_no_gpu() -> None:
    """It is not split, either."""
    demo = Model("x", ("x",), 10, on_cpu=True)
    boot.preflight(Settings(), demo)
    with pytest.raises(SettingsError, match="TENSOR_PARALLEL_SIZE=2, but the demo model"):
        boot.preflight(Settings(tensor_parallel_size=2), demo)


def test_a_model_that_cannot_fit_is_refused_with_its_one_line() -> None:
    """Before its files are looked for."""
    model = resolve(Settings(model="openai/gpt-oss-120b"), [gpu_named("L4")])
    with pytest.raises(SettingsError, match=r"^gpt-oss-120b does not fit on L4: .* on 4 GPUs\.$"):
        boot.check_memory(model)
    boot.check_memory(resolve(Settings(model="openai/gpt-oss-20b"), [gpu_named("L4")]))


def test_where_no_gpu_is_known_nothing_is_refused() -> None:
    """Nor a model whose size is not known."""
    boot.check_memory(resolve(Settings(model="openai/gpt-oss-120b")))
    boot.check_memory(resolve(Settings(model="someone/finetune"), [gpu_named("L4")]))
    boot.check_memory(resolve(Settings(model="demo"), [gpu_named("RTX A4000")]))


def test_what_the_formula_does_not_know_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """With pipeline parallelism, it may fit all the same."""
    settings = Settings(model="openai/gpt-oss-120b", engine_args={"pp_size": 4})
    boot.check_memory(resolve(settings, [gpu_named("L4")]))
    assert "gpt-oss-120b does not fit on L4" in caplog.text


@pytest.mark.parametrize("known_to_hub", [True, False])
def test_a_model_of_another_kind_is_refused(
    tmp_path: Path, known_to_hub: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the Hub's description, before it is downloaded; or else by its config.json."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # as an engine sets it here
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    config = {"model_type": "llama"}
    files = gpt_oss_files() | {"config.json": json.dumps(config).encode()}
    with loopback_hub(files) as hub:
        hub.config = config if known_to_hub else None
        with pytest.raises(SettingsError, match=f"^MODEL='{NAME}' is not a gpt-oss model"):
            folder_given(settings_for(hub, tmp_path))
        assert (hub.requests == []) is known_to_hub


def test_the_warm_up_has_the_forms_of_agents_requests() -> None:
    """Greedy, free and short; sampled, with a tool's grammar and long; before the engine is
    ready."""
    engine = LoadingEngine([1])
    booted(engine)
    assert engine.health() is Health.READY
    forms = [(s.temperature, "warm_up" in (s.structural_tag or "")) for s in engine.samplings]
    assert forms == [(0.0, False), (1.0, True)]
    short, long = map(len, engine.prompts)
    assert short < 100
    assert long > 200


def test_the_phases_of_the_boot_are_in_the_first_jobs_metrics() -> None:
    """The worker's own before the engine's; later jobs are spared them."""
    service = booted(LoadingEngine(tokens("<|channel|>final<|message|>Hi<|return|>")))
    first, second = answered(service), answered(service)
    assert list(first["boot_ms"]) == ["files", "weights"]
    assert first["boot_ms"]["weights"] == 2000.0
    assert "boot_ms" not in second


def test_the_context_is_what_the_kv_cache_holds(caplog: pytest.LogCaptureFixture) -> None:
    """SGLang cuts long requests short without a word: clients, the log and errors say it."""
    engine = LoadingEngine([1])
    engine.holds = Capacity(context_length=50, kv_tokens=50)
    service = booted(engine)
    assert service.context_length == 50
    assert "the context is 50 tokens, not 131072: the KV cache holds no more" in caplog.text
    with pytest.raises(ContextLengthExceeded, match="maximum context length is 50 tokens"):
        answered(service)


def answered(service: Service) -> dict[str, Any]:
    """The metrics of a job."""

    async def answer() -> dict[str, Any]:
        metrics = JobMetrics()
        body = {"messages": [{"role": "user", "content": "Hello, how are you today?"}]}
        exchange = await service.read(route_for("/v1/chat/completions", method="POST"), body)
        async with aclosing(exchange.answer(metrics)) as batches:
            async for _ in batches:
                pass
        return metrics.to_object()

    return asyncio.run(answer())

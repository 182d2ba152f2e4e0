"""From nothing to ready: the boot, which every entrypoint runs before it takes a request.

 1. Preflight: what cannot work is refused in one line, before anything is downloaded or loaded.
    Entrypoints run it by itself, since some can refuse before they listen.
 2. Files: the model's are found on this machine or downloaded (worker/model/).
 3. Engine: SGLang's imports and processes take most of the time, and little of the disk. So
    meanwhile the weights are read into the page cache; and once SGLang is imported here, the
    requests of the warm-up are made, which loads the vocabulary.
 4. Ready: the warm-up is generated, and the context is what the KV cache really holds.

The time of each phase is logged, in /metrics and in the first job's metrics. RunPod's SDK would
check the machine itself, but its checks compete with the engine for the GPU's memory.

Rule: what only another setting or another machine can mend is a SettingsError, and a command ends
with status 2; what may work at the next start is a ServerError, and it ends with status 1.
"""

import asyncio
import logging
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from worker.engine import MeasurableEngine, ModelLoadingEngine
from worker.model import Model, check_type, download, files, read_config
from worker.model.fit import TP_SIZES
from worker.model.page_cache import reading_ahead
from worker.service import Service
from worker.settings import Settings, SettingsError

log = logging.getLogger(__name__)


def preflight(settings: Settings, model: Model) -> None:
    """Checks that this machine can serve the model with these settings.

    Raises SettingsError, whose message is one line.
    """
    check_memory(model)
    check_gpus(settings, model)


async def boot(service: Service, settings: Settings) -> None:
    """Makes a service ready that has passed the preflight.

    Raises SettingsError or ServerError, whose message is one line.
    """
    with _timed(service, "files"):
        folder = await provide_files(service, settings)
    log.info("starting the engine for %s", service.model.names[0])
    if isinstance(service.engine, ModelLoadingEngine):
        service.engine.warm_up_with(service.warm_up_requests)
    with reading_ahead(folder) if folder else nullcontext():
        await service.engine.start()
    _say_capacity(service)
    phases = service.boot_seconds()
    listed = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in phases.items())
    log.info("booted in %.1f s: %s", sum(phases.values()), listed)
    log.info("ready: %s", _capacity(service, settings))


@contextmanager
def _timed(service: Service, phase: str) -> Generator[None]:
    started = time.monotonic()
    yield
    service.note_boot_phase(phase, time.monotonic() - started)


def check_memory(model: Model) -> None:
    """Checks that the model fits on this machine's GPUs.

    Does nothing if the GPUs or the model's size are not known, and only warns if ENGINE_ARGS has
    arguments that the formula does not know. Raises SettingsError.
    """
    verdict = model.verdict
    if verdict is None:
        return
    if not verdict.fits and verdict.is_certain:
        raise SettingsError(verdict.refusals[0])
    for refusal in verdict.refusals:
        log.warning("%s", refusal)
    for note in verdict.notes:
        log.info("%s", note)


def check_gpus(settings: Settings, model: Model) -> None:
    """Checks that the model can be split over TENSOR_PARALLEL_SIZE GPUs, and that they are visible.

    The demo model needs none. Raises SettingsError.
    """
    wanted = settings.tensor_parallel_size or 1
    asked = f"TENSOR_PARALLEL_SIZE={wanted}"
    if model.on_cpu:
        if wanted > 1:
            raise SettingsError(f"{asked}, but the demo model runs on the CPU: leave it unset.")
        return
    if wanted not in TP_SIZES:
        *others, last = TP_SIZES
        fitting = f"{', '.join(map(str, others))} or {last}"
        raise SettingsError(f"{asked} does not divide gpt-oss's 8 KV heads: set it to {fitting}.")
    if model.gpus == 0:
        raise SettingsError(
            f"MODEL={settings.model!r} needs an NVIDIA GPU, and none is visible: use a machine "
            "that has one, or set MODEL=demo for a tiny model that runs on the CPU."
        )
    if model.gpus < wanted:
        raise SettingsError(f"{asked}, but {model.gpus} GPUs are visible: set it to that or less.")


async def provide_files(service: Service, settings: Settings) -> Path | None:
    """Finds the model's files, or downloads them, and tells the engine where they are.

    Returns their folder; None if the engine loads no files, or if ENGINE_ARGS has a model_path,
    which SGLang then loads. Raises SettingsError or ServerError.
    """
    engine = service.engine
    if not isinstance(engine, ModelLoadingEngine) or "model_path" in settings.engine_args:
        return None
    model = service.model.path
    folder = await asyncio.to_thread(files.find, model, settings)
    if folder is None:
        folder = await download.fetch(model, settings)
    check_type(settings.model, read_config(folder))
    engine.use_files(folder)
    return folder


def _say_capacity(service: Service) -> None:
    """Tells clients the context that can be served, which may be shorter than what was asked for.

    SGLang itself serves what fits and says so in its own log alone.
    """
    if not isinstance(service.engine, MeasurableEngine):
        return
    capacity, asked = service.engine.capacity(), service.model.context_length
    service.context_length = min(asked, capacity.context_length)
    if service.context_length < asked:
        log.warning(
            "the context is %d tokens, not %d: the KV cache holds no more; "
            "`python -m worker.doctor` says what to set",
            *(service.context_length, asked),
        )


def _capacity(service: Service, settings: Settings) -> str:
    """`context 131,072, KV for 193,000 tokens, up to 64 requests`."""
    engine = service.engine
    cache = (
        f", KV for {engine.capacity().kv_tokens:,} tokens"
        if isinstance(engine, MeasurableEngine)
        else ""
    )
    limit = settings.max_running_requests
    return f"context {service.context_length:,}{cache}, up to {limit} requests"

"""Starts and stops SGLang's processes.

Rule: only this module, `direct_manager.py`, and those that run in SGLang's process (`scheduler.py`,
`grammar_masks.py`) import sglang. This module imports it, and them, when an engine starts, because
the import takes seconds. `Any` stands for SGLang's types.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

MORE_MODELS = ("speculative_draft_model_path", "tokenizer_path", "lora_paths")
"""Arguments of SGLang that can name more models of the Hugging Face Hub."""


T = TypeVar("T")


class Launched(NamedTuple, Generic[T]):
    """An `sglang.Engine`, the seconds of each phase of its start, and what was made meanwhile."""

    engine: Any
    phases: Mapping[str, float]
    prepared: T


async def launch(
    arguments: Mapping[str, Any], meanwhile: Callable[[], T], *, direct: bool
) -> Launched[T]:
    """Starts an `sglang.Engine`. Raises whatever SGLang raises if that fails.

    If `direct`, its scheduler's output comes straight to a `DirectManager`, without a detokenizer.

    `meanwhile` is called in a thread once SGLang is imported: from then on this process only waits
    for those that it has started, which import SGLang again.

    It is started in a thread that lives as long as this process, because SGLang's processes ask the
    kernel to kill them when the thread that started them ends.
    """
    loop = asyncio.get_running_loop()
    launched: asyncio.Future[Launched[T]] = loop.create_future()

    def work() -> None:
        try:
            result = _launch(arguments, meanwhile, direct)
        except BaseException as error:  # noqa: BLE001 - passed on to the caller
            loop.call_soon_threadsafe(launched.set_exception, error)
        else:
            loop.call_soon_threadsafe(launched.set_result, result)
            threading.Event().wait()

    threading.Thread(target=work, daemon=True, name="engine-parent").start()
    return await launched


def go_offline(arguments: Mapping[str, Any]) -> None:
    """Makes SGLang's processes leave the Hugging Face Hub alone if all they need is in a folder.

    They would ask it about the files of the model that they have, which fails or takes long without
    a network. HF_HUB_OFFLINE=0 prevents it.
    """
    folder = Path(arguments["model_path"])
    if folder.is_dir() and not any(arguments.get(name) for name in MORE_MODELS):
        os.environ["HF_HUB_OFFLINE"] = os.environ.get("HF_HUB_OFFLINE") or "1"


def keep_interrupts_from_children() -> None:
    """Blocks SIGINT in this thread, and so in the processes that it starts.

    A terminal sends Ctrl-C to all processes in the foreground: SGLang's would print tracebacks, and
    end the generations that the server still wants to finish. We end them ourselves.
    """
    resource_tracker.ensure_running()  # when it starts, it unblocks SIGINT in this thread
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _launch(arguments: Mapping[str, Any], meanwhile: Callable[[], T], direct: bool) -> Launched[T]:
    keep_interrupts_from_children()
    go_offline(arguments)
    started = time.monotonic()
    Engine = _direct_engine() if direct else _sglangs_engine()  # noqa: N806 - a class
    imported = time.monotonic()
    with ThreadPoolExecutor(1, "meanwhile") as idle:
        prepared = idle.submit(meanwhile)
        engine: Any = Engine(**arguments)
        seconds = time.monotonic() - imported
    within = phases_of(engine.tokenizer_manager.startup_time, seconds)
    return Launched(engine, {"imports": imported - started, **within}, prepared.result())


def _sglangs_engine() -> Any:
    """SGLang's Engine class, with our grammar backend in its scheduler."""
    from sglang.srt.entrypoints.engine import Engine as BareEngine

    from worker.engine.scheduler import run_scheduler_process

    class Engine(BareEngine):
        run_scheduler_process_func = staticmethod(run_scheduler_process)

    return Engine


def _direct_engine() -> Any:
    """The same, without a detokenizer."""
    from sglang.srt.entrypoints.engine import init_tokenizer_manager

    from worker.engine import direct_manager
    from worker.engine.scheduler import run_direct_scheduler_process

    manager: Any = direct_manager.DirectManager

    class DirectEngine(_sglangs_engine()):
        run_scheduler_process_func = staticmethod(run_direct_scheduler_process)
        init_tokenizer_manager_func = staticmethod(
            partial(init_tokenizer_manager, TokenizerManagerClass=manager)
        )

        @classmethod
        def _launch_detokenizer_subprocesses(cls, **_: Any) -> tuple[list[Any], list[str]]:
            return [], []

    return DirectEngine


def abort_requests(engine: Any) -> None:
    """Ends all running requests here, whether or not SGLang's processes still answer."""
    from sglang.srt.managers.io_struct import AbortReq

    manager = engine.tokenizer_manager
    for rid in list(manager.rid_to_state):
        manager._handle_abort_req(AbortReq(rid=rid, finished_reason={"type": "abort"}))


def phases_of(startup: Mapping[str, Any], seconds: float) -> dict[str, float]:
    """The phases of an engine's start that took `seconds`, from SGLang's own times.

    `spawn`: until the scheduler's process has imported SGLang. `scheduler`: what it does besides
    the others. They add up to `seconds`. Source: sglang/srt/observability/startup_time.py.
    """
    scheduler, graphs = startup["scheduler_e2e"], sum(startup["cuda_graph"].values())
    weights, kv_cache = startup["load_weight"], startup["kv_cache_allocation"]
    return {
        "spawn": max(0.0, seconds - scheduler),
        "weights": weights,
        "kv_cache": kv_cache,
        "cuda_graphs": graphs,
        "scheduler": max(0.0, scheduler - weights - kv_cache - graphs),
    }


def shut_down(engine: Any, processes: Sequence[Any]) -> None:
    """Ends the engine's own processes. `Engine.shutdown` would end all our child processes."""
    import atexit

    from sglang.srt.utils import kill_process_tree

    atexit.unregister(engine.shutdown)
    for pid in engine.get_all_child_pids():
        kill_process_tree(pid)
    for process in processes:
        process.join()
    engine.send_to_rpc.close(linger=0)

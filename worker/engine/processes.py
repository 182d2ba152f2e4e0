"""Starts and stops SGLang's processes.

Rule: only this module and those that run in SGLang's process (`scheduler.py`, `grammar_masks.py`)
import sglang. This module imports it when an engine starts, because the import takes seconds.
`Any` stands for SGLang's types.
"""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Any


async def boot(arguments: Mapping[str, Any]) -> Any:
    """Starts an `sglang.Engine`. Raises whatever SGLang raises if that fails.

    It is started in a thread that lives as long as this process, because SGLang's processes ask the
    kernel to kill them when the thread that started them ends.
    """
    loop = asyncio.get_running_loop()
    booted: asyncio.Future[Any] = loop.create_future()

    def work() -> None:
        try:
            engine = _boot(arguments)
        except BaseException as error:  # noqa: BLE001 - passed on to the caller
            loop.call_soon_threadsafe(booted.set_exception, error)
        else:
            loop.call_soon_threadsafe(booted.set_result, engine)
            threading.Event().wait()

    threading.Thread(target=work, daemon=True, name="engine-parent").start()
    return await booted


def _boot(arguments: Mapping[str, Any]) -> Any:
    from sglang.srt.entrypoints.engine import Engine as BareEngine

    from worker.engine.scheduler import run_scheduler_process

    class Engine(BareEngine):
        run_scheduler_process_func = staticmethod(run_scheduler_process)

    return Engine(**arguments)


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

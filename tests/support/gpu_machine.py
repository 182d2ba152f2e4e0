"""Runs a module of the worker as on a machine with so many H100s, and without an engine:
`python -m tests.support.gpu_machine 1 handler`.

For what happens before the engine starts. Importing SGLang ends the process with status 99; without
the import, no engine process can have been started.
"""

import os
import runpy
import sys

from worker import machine
from worker.model.gpus import gpu_named

BOOTED = 99


def end_if_engine(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook."""
    if event == "import" and arguments[0] == "sglang":
        os.write(2, b"SGLang was imported\n")
        os._exit(BOOTED)


if __name__ == "__main__":
    gpus = (gpu_named("H100"),) * int(sys.argv[1])
    machine.installed_gpus = lambda _visible=None: gpus
    sys.addaudithook(end_if_engine)
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

"""Runs a module of the worker as if this machine had one GPU: `python -m tests.support.gpu_machine
handler`. For what happens before the engine starts, which would fail."""

import runpy
import sys

from worker import machine
from worker.model.gpus import gpu_named

if __name__ == "__main__":
    machine.installed_gpus = lambda _visible=None: (gpu_named("H100"),)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

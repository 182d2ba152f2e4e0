"""Engines: the interface that the worker uses, and its SGLang implementation.

Rule: only this package knows SGLang, and the worker gets only tokens from it. In the worker's own
process, only `processes.py` and `direct_manager.py` import SGLang.
"""

from worker.engine.port import (
    Engine,
    Health,
    MeasurableEngine,
    ModelLoadingEngine,
    WarmUpRequest,
)
from worker.engine.sglang_arguments import server_args
from worker.engine.sglang_engine import SglangEngine
from worker.generation import Sampling, Step, TokenLogprob

__all__ = [
    "Engine",
    "Health",
    "MeasurableEngine",
    "ModelLoadingEngine",
    "Sampling",
    "SglangEngine",
    "Step",
    "TokenLogprob",
    "WarmUpRequest",
    "server_args",
]

"""Engines: the port that the worker knows, and the SGLang Engine that ships.

Rule: only this package knows SGLang, and only `processes.py` imports it; the worker gets tokens
from it and nothing else.
"""

from worker.engine.port import Engine, Health
from worker.engine.sglang_arguments import server_args, visible_gpus
from worker.engine.sglang_engine import SglangEngine
from worker.generation import Sampling, Step, TokenLogprob

__all__ = [
    "Engine",
    "Health",
    "Sampling",
    "SglangEngine",
    "Step",
    "TokenLogprob",
    "server_args",
    "visible_gpus",
]

"""Wrong settings: each ends the worker with one line and a status that is not 0, before the engine
boots.

Each is tried on a process that runs as on a machine with one H100 (tests/support/gpu_machine.py),
unless it is about a machine without a GPU. What the Hub refuses is in test_model_files.py.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.container import free_port

pytestmark = pytest.mark.workers

SERVE = ("worker.serve", "--host", "127.0.0.1")
ON_H100 = ("tests.support.gpu_machine", *SERVE)

WRONG: dict[str, tuple[Mapping[str, str], int, str]] = {
    "a number that is none": (
        {"MAX_MODEL_LEN": "many"},
        2,
        "MAX_MODEL_LEN must be 'auto' or an integer, 1 or greater, got 'many'",
    ),
    "a folder that does not exist": (
        {"MODEL": "/no/such/model"},
        2,
        "MODEL='/no/such/model' is not an existing folder",
    ),
    "the demo model's name in another case": (
        {"MODEL": "Demo"},
        2,
        (
            "MODEL must be a Hugging Face model ID, a local directory, or 'demo', got 'Demo'; "
            "did you mean 'demo'?"
        ),
    ),
    "an argument that SGLang does not have": (
        {"ENGINE_ARGS": '{"max_prefil_tokens": 1}'},
        2,
        "ENGINE_ARGS: SGLang has no argument 'max_prefil_tokens'; did you mean max_prefill_tokens?",
    ),
    "a number in ENGINE_ARGS that is a word": (
        {"ENGINE_ARGS": '{"tp_size": "two"}'},
        2,
        "ENGINE_ARGS tp_size must be an integer, got 'two'",
    ),
    "a format that loses the experts": (
        {"ENGINE_ARGS": '{"load_format": "presharded"}'},
        2,
        (
            "ENGINE_ARGS load_format='presharded' loses gpt-oss's experts, which are not in what "
            "SGLang saves in that format: leave load_format out"
        ),
    ),
    "a draft that the model has not": (
        {"SPECULATIVE": "eagle3"},
        2,
        (
            "SPECULATIVE=eagle3 has a draft model for gpt-oss-120b alone; for another model, set "
            "SGLang's speculative_* arguments in ENGINE_ARGS"
        ),
    ),
    "a tensor parallelism that does not divide": (
        {"TENSOR_PARALLEL_SIZE": "3"},
        1,
        "TENSOR_PARALLEL_SIZE=3 does not divide gpt-oss's 8 KV heads: set TENSOR_PARALLEL_SIZE=1.",
    ),
    "more GPUs than there are": (
        {"TENSOR_PARALLEL_SIZE": "2"},
        1,
        (
            "TENSOR_PARALLEL_SIZE=2 needs more GPUs than this machine has (1): set "
            "TENSOR_PARALLEL_SIZE=1."
        ),
    ),
    "memory that does not hold the context": (
        {"MODEL": "openai/gpt-oss-120b", "MEM_FRACTION_STATIC": "0.87"},
        1,
        (
            "gpt-oss-120b does not fit on H100 80GB with 131,072 tokens of context: the KV cache "
            "holds at most 96,274: set MEM_FRACTION_STATIC=0.89, or MAX_MODEL_LEN=87040, or "
            "TENSOR_PARALLEL_SIZE=2 on 2 GPUs."
        ),
    ),
}


def logged(module: tuple[str, ...], **settings: str) -> tuple[int, list[str]]:
    """A worker's exit status and its log. The Hub is a port where nobody listens."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", *module],
        cwd=ROOT,
        env={
            **os.environ,
            "PORT": str(free_port()),
            "HF_ENDPOINT": "http://127.0.0.1:9",
            "MODEL": "openai/gpt-oss-20b",
            **settings,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"{json.dumps(settings)}: status {done.returncode}, {time.monotonic() - started:.1f} s")
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_setting_ends_the_start_with_one_line(name: str) -> None:
    """Status 2 for a value that is wrong anywhere, 1 for one that is wrong on this machine."""
    settings, status, line = WRONG[name]
    assert_refused(logged(ON_H100, **settings), status, line)


def test_without_a_gpu_the_start_ends_with_one_line() -> None:
    """A real model needs one."""
    refused = logged(SERVE, CUDA_VISIBLE_DEVICES="")
    assert_refused(refused, 1, "1 GPUs are required, but only 0 are visible.")


def test_a_port_in_use_ends_the_start_with_one_line() -> None:
    """Before the model is looked for."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = logged(ON_H100, PORT=str(port))
    assert_refused(refused, 1, f"cannot listen on port {port}: Address already in use")


def assert_refused(seen: tuple[int, list[str]], status: int, message: str) -> None:
    got, lines = seen
    problems = [line for line in lines if " INFO " not in line]
    assert (got, [message in line for line in problems]) == (status, [True]), lines
    assert not any("starting the engine" in line for line in lines)


def test_the_queue_says_it_in_its_own_log(tmp_path: Path) -> None:
    """RunPod's SDK runs the boot as its fitness check, and adds its name."""
    module = ("tests.support.gpu_machine", "handler")
    queue = {"RUNPOD_WEBHOOK_GET_JOB": "http://127.0.0.1:9/job", "TENSOR_PARALLEL_SIZE": "3"}
    status, lines = logged(module, HOME=str(tmp_path), **queue)
    assert status == 1
    assert not any("Traceback" in line for line in lines)

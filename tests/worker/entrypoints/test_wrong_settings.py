"""Mistakes in the settings: each ends the worker with one line that says what to do, and status 2,
before anything boots.

Each is tried on processes that run as on a machine with one H100 or none, and that would end with
another status if they imported SGLang (tests/support/gpu_machine.py). The line is all that they
write, but for what the log says of a download at level info.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.container import free_port
from tests.support.hub import NAME, LoopbackHub, loopback_hub

pytestmark = pytest.mark.workers

ENTRYPOINTS = {
    "the HTTP API": ("worker.serve", "--host", "127.0.0.1"),
    "a local run": ("handler",),
}


@dataclass(frozen=True)
class Mistake:
    """Settings, and the line that the worker answers with. HUB stands for the Hub's address."""

    line: str
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    gpus: int = 1


MISTAKES = {
    "a folder that does not exist": Mistake(
        "MODEL='/nonexistent' is not an existing folder", {"MODEL": "/nonexistent"}
    ),
    "a model that the Hub does not have": Mistake(
        (
            "MODEL='openai/gpt-oss-7b' was not found on HUB: correct MODEL, or set HF_TOKEN to a "
            "token if it is private; did you mean 'openai/gpt-oss-20b'?"
        ),
        {"MODEL": "openai/gpt-oss-7b"},
    ),
    "a folder of another model": Mistake(
        (
            "MODEL='FOLDER/llama' is not a gpt-oss model (its model_type is 'llama'): this worker "
            "serves openai/gpt-oss-20b, openai/gpt-oss-120b and models fine-tuned from them."
        ),
        {"MODEL": "FOLDER/llama"},
    ),
    "a folder whose config.json is damaged": Mistake(
        "FOLDER/damaged/config.json cannot be read: Expecting value: line 1 column 1 (char 0)",
        {"MODEL": "FOLDER/damaged"},
    ),
    "a folder that lacks files": Mistake(
        (
            "MODEL='FOLDER/incomplete' cannot be served: The model file tokenizer.json is missing "
            "in FOLDER/incomplete."
        ),
        {"MODEL": "FOLDER/incomplete"},
    ),
    "the demo model's name in another case": Mistake(
        (
            "MODEL must be a Hugging Face model ID, a local directory, or 'demo', got 'Demo'; "
            "did you mean 'demo'?"
        ),
        {"MODEL": "Demo"},
    ),
    "a wrong token": Mistake(
        "HUB does not accept HF_TOKEN (401): set a valid token, or none.",
        {"MODEL": NAME, "HF_TOKEN": "hf_wrong"},
    ),
    "an argument that SGLang does not have": Mistake(
        "ENGINE_ARGS: SGLang has no argument 'nonsense'; did you mean nnodes?",
        {"ENGINE_ARGS": '{"nonsense": 1}'},
    ),
    "a misspelt argument of SGLang's": Mistake(
        "ENGINE_ARGS: SGLang has no argument 'max_prefil_tokens'; did you mean max_prefill_tokens?",
        {"ENGINE_ARGS": '{"max_prefil_tokens": 1}'},
    ),
    "a number in ENGINE_ARGS that is a word": Mistake(
        "ENGINE_ARGS tp_size must be an integer, got 'two'", {"ENGINE_ARGS": '{"tp_size": "two"}'}
    ),
    "a format that loses the experts": Mistake(
        (
            "ENGINE_ARGS load_format='presharded' loses gpt-oss's experts, which are not in what "
            "SGLang saves in that format: leave load_format out"
        ),
        {"ENGINE_ARGS": '{"load_format": "presharded"}'},
    ),
    "a draft that the model has not": Mistake(
        (
            "SPECULATIVE=eagle3 has a draft model for gpt-oss-120b alone; for another model, set "
            "SGLang's speculative_* arguments in ENGINE_ARGS"
        ),
        {"SPECULATIVE": "eagle3"},
    ),
    "a number that is none": Mistake(
        "MAX_MODEL_LEN must be 'auto' or an integer, 1 or greater, got 'many'",
        {"MAX_MODEL_LEN": "many"},
    ),
    "a tensor parallelism that does not divide": Mistake(
        "TENSOR_PARALLEL_SIZE=3 does not divide gpt-oss's 8 KV heads: set TENSOR_PARALLEL_SIZE=1.",
        {"TENSOR_PARALLEL_SIZE": "3"},
    ),
    "the same without a GPU": Mistake(
        "TENSOR_PARALLEL_SIZE=3 does not divide gpt-oss's 8 KV heads: set it to 1, 2, 4 or 8.",
        {"TENSOR_PARALLEL_SIZE": "3"},
        gpus=0,
    ),
    "the same with the demo model": Mistake(
        "TENSOR_PARALLEL_SIZE=3, but the demo model runs on the CPU: leave it unset.",
        {"TENSOR_PARALLEL_SIZE": "3", "MODEL": "demo"},
        gpus=0,
    ),
    "more GPUs than there are": Mistake(
        (
            "TENSOR_PARALLEL_SIZE=2 needs more GPUs than this machine has (1): set "
            "TENSOR_PARALLEL_SIZE=1."
        ),
        {"TENSOR_PARALLEL_SIZE": "2"},
    ),
    "memory that does not hold the context": Mistake(
        (
            "gpt-oss-120b does not fit on H100 80GB with 131,072 tokens of context: the KV cache "
            "holds at most 96,274: set MEM_FRACTION_STATIC=0.89, or MAX_MODEL_LEN=87040, or "
            "TENSOR_PARALLEL_SIZE=2 on 2 GPUs."
        ),
        {"MODEL": "openai/gpt-oss-120b", "MEM_FRACTION_STATIC": "0.87"},
    ),
    "no GPU": Mistake(
        (
            "MODEL='openai/gpt-oss-20b' needs an NVIDIA GPU, and none is visible: use a machine "
            "that has one, or set MODEL=demo for a tiny model that runs on the CPU."
        ),
        gpus=0,
    ),
}


@pytest.fixture(scope="module")
def hub() -> Iterator[LoopbackHub]:
    with loopback_hub() as hub:
        hub.token = "hf_right"
        yield hub


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders that hold no model for this worker."""
    folder = tmp_path_factory.mktemp("models")
    configs = {"llama": '{"model_type": "llama"}', "damaged": "", "incomplete": '{"a": 1}'}
    for name, config in configs.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(config)
    return folder


@pytest.mark.parametrize(
    ("entrypoint", "name"),
    [
        *(("the HTTP API", name) for name in MISTAKES),
        # of each stage one: reading the settings, the preflight, the model's files
        ("a local run", "the demo model's name in another case"),
        ("a local run", "no GPU"),
        ("a local run", "a wrong token"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    hub: LoopbackHub, models: Path, entrypoint: str, name: str
) -> None:
    """Before SGLang is imported; the line names the setting and what to do."""
    mistake = MISTAKES[name]
    given = {key: value.replace("FOLDER", str(models)) for key, value in mistake.settings.items()}
    ended = start(entrypoint, mistake.gpus, HF_ENDPOINT=hub.url, **given)
    line = mistake.line.replace("FOLDER", str(models)).replace("HUB", hub.url)
    assert said(ended) == [line]
    assert (ended.returncode, ended.stdout) == (2, "")


@pytest.mark.parametrize(
    "command", [("handler.py",), ("-m", "worker.serve"), ("-m", "worker.doctor")], ids=" ".join
)
def test_the_systems_python_is_one_line_and_status_2(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    """Instead of .venv's: what to do, and not a ModuleNotFoundError."""
    bare = tmp_path / "bare"
    subprocess.run([sys._base_executable, "-m", "venv", "--without-pip", bare], check=True)  # pyright: ignore[reportAttributeAccessIssue]
    python = str(bare / "bin" / "python")
    ended = run(python, *command)
    assert said(ended) == [
        f"{python} lacks the worker's packages: run `make setup`, then use .venv/bin/python."
    ]
    assert ended.returncode == 2


def test_a_misspelt_variable_is_a_warning_that_names_the_nearest() -> None:
    """It may be another program's, so the start goes on, here to the next mistake."""
    ended = start("the HTTP API", 0, MAX_MODEL_LENGTH="4096")
    warning, mistake = said(ended)
    assert warning == (
        "MAX_MODEL_LENGTH is not a setting and is ignored; did you mean MAX_MODEL_LEN?"
    )
    assert mistake == MISTAKES["no GPU"].line


def test_a_port_in_use_is_one_line() -> None:
    """Before the model is looked for. It may be free at the next start: status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = start("the HTTP API", 1, PORT=port)
    (line,) = said(ended)
    assert line.startswith(f"cannot listen on port {port}: Address already in use")
    assert ended.returncode == 1


def test_a_hub_that_cannot_be_reached_is_one_line() -> None:
    """It may be there at the next start: status 1."""
    ended = start("the HTTP API", 1, HF_ENDPOINT="http://127.0.0.1:9")
    (line,) = said(ended)
    assert "http://127.0.0.1:9 cannot be reached" in line
    assert ended.returncode == 1


def test_the_queue_tells_the_platform() -> None:
    """RunPod's SDK runs the boot as its fitness check: it reports the line, and its status is 1."""
    queue = {"RUNPOD_WEBHOOK_GET_JOB": "http://127.0.0.1:9/job", "TENSOR_PARALLEL_SIZE": "3"}
    ended = start("a local run", 1, **queue)
    assert ended.returncode == 1
    assert MISTAKES["a tensor parallelism that does not divide"].line in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def start(entrypoint: str, gpus: int, **settings: str) -> subprocess.CompletedProcess[str]:
    module = ("-m", "tests.support.gpu_machine", str(gpus), *ENTRYPOINTS[entrypoint])
    return run(sys.executable, *module, **settings)


def run(*command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A process's end; its seconds are shown when a test fails, or with -rP."""
    defaults = {"PORT": str(free_port()), "HF_HUB_OFFLINE": "", "MODEL": "openai/gpt-oss-20b"}
    started = time.monotonic()
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **defaults, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"{json.dumps(settings)}: {time.monotonic() - started:.1f} s")
    return ended


def said(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of standard error, without a log's time and logger, and without what is info."""
    lines = [line for line in ended.stderr.splitlines() if " INFO " not in line]
    return [line.split(": ", 1)[1] if " ERROR worker." in line else line for line in lines]

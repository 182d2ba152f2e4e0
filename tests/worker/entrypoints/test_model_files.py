"""The model's files at boot, at every entrypoint: a wrong setting ends the process with one line.

The processes run as on a machine with a GPU (tests/support/gpu_machine.py), since without one
nothing is downloaded.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tests.support import DEMO, ROOT
from tests.support.container import free_port
from tests.support.http_server import until
from tests.support.hub import NAME, LoopbackHub, loopback_hub

pytestmark = pytest.mark.workers

ENTRYPOINTS = {
    "the HTTP API": ("worker.serve", "--host", "127.0.0.1"),
    "a local run": ("handler",),
    "the SDK's test API": ("handler", "--rp_serve_api"),
    "the queue": ("handler",),
}


class Ended(NamedTuple):
    """A process that has ended. `cpu_seconds`: what it and its children used."""

    status: int
    output: str
    logged: str
    cpu_seconds: float


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with loopback_hub() as hub:
        yield hub


def run(command: Sequence[str], environment: Mapping[str, str], home: Path) -> Ended:
    own = {"HF_HUB_OFFLINE": "", "HOME": str(home), "PORT": str(free_port())}
    with (home / "output").open("w") as output, (home / "log").open("w") as logged:
        everything = {**os.environ, **own, **environment}
        process = subprocess.Popen(command, cwd=ROOT, env=everything, stdout=output, stderr=logged)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Ended(
        process.returncode,
        (home / "output").read_text(),
        (home / "log").read_text(),
        usage.ru_utime + usage.ru_stime,
    )


@pytest.mark.parametrize("entrypoint", ENTRYPOINTS)
def test_an_unknown_model_ends_the_start_with_one_line(
    hub: LoopbackHub, tmp_path: Path, entrypoint: str
) -> None:
    """At every entrypoint: it names MODEL, without a traceback. The exit status is 2; a queue
    worker's is the SDK's, 1.

    The time is the CPU's, since other processes may keep the machine busy; besides, it waits for
    two seconds at most.
    """
    ended = start(hub, tmp_path, entrypoint, MODEL="openai/gpt-oss-7b")
    assert ended.status == (1 if entrypoint == "the queue" else 2)
    assert ended.cpu_seconds < 8
    message = (
        f"MODEL='openai/gpt-oss-7b' was not found on {hub.url}: correct MODEL, or set HF_TOKEN"
    )
    both = ended.output + ended.logged
    assert [message in line for line in both.splitlines()].count(True) == 1
    assert "Traceback" not in both


def test_a_wrong_token_ends_the_start_with_one_line(hub: LoopbackHub, tmp_path: Path) -> None:
    """Which does not show it."""
    hub.token = "hf_right"
    ended = start(hub, tmp_path, "the HTTP API", MODEL=NAME, HF_TOKEN="hf_wrong")
    assert ended.status == 2
    assert f"{hub.url} does not accept HF_TOKEN (401): set a valid token, or none." in ended.logged
    assert "hf_wrong" not in ended.logged
    assert "Traceback" not in ended.logged


def start(hub: LoopbackHub, home: Path, entrypoint: str, **settings: str) -> Ended:
    queue = {"RUNPOD_WEBHOOK_GET_JOB": hub.url} if entrypoint == "the queue" else {}
    command = [sys.executable, "-m", "tests.support.gpu_machine", "1", *ENTRYPOINTS[entrypoint]]
    return run(command, {"HF_ENDPOINT": hub.url, **queue, **settings}, home)


def test_a_worker_that_is_told_to_stop_while_it_downloads_stops(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    """At once, as it does while the engine boots; the download's process ends, too."""
    hub.bytes_per_second = 10_000
    settings = {"HF_HUB_OFFLINE": "", "HF_ENDPOINT": hub.url, "MODEL": NAME}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.gpu_machine", "1", *ENTRYPOINTS["the HTTP API"]],
        cwd=ROOT,
        env={
            **os.environ,
            **settings,
            "PORT": str(free_port()),
            "VOLUME_FOLDER": str(tmp_path),
        },
        stderr=subprocess.DEVNULL,
    )
    until(lambda: hub.requests, 60)
    children = psutil.Process(process.pid).children()
    assert len(children) == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert not psutil.pid_exists(children[0].pid)


def test_a_folder_that_does_not_exist_is_refused_before_all_else(tmp_path: Path) -> None:
    """As any bad setting: status 2, one line."""
    ended = run([sys.executable, "handler.py"], {"MODEL": "/no/such/model"}, tmp_path)
    assert ended.status == 2
    assert ended.logged == "MODEL='/no/such/model' is not an existing folder\n"


def test_handler_answers_test_input_json_without_a_network(tmp_path: Path) -> None:
    """What `make run` does: the demo model calls the weather tool, streamed; status 0.

    There is nothing but loopback, which SGLang's processes use among themselves; nobody is asked.
    """
    alone = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    tools = all(map(shutil.which, ("unshare", "ip")))
    can_be_alone = tools and subprocess.run([*alone, "true"], check=False).returncode == 0
    handler = [sys.executable, "handler.py"]
    ended = run([*alone, *handler] if can_be_alone else handler, DEMO, tmp_path)
    assert ended.status == 0, ended.logged
    *chunks, result = map(json.loads, ended.output.splitlines())
    assert len(chunks) > 10
    assert result["status"] == "COMPLETED"
    calls = [
        call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])
    ]
    assert calls[0]["function"]["name"] == "get_weather"
    assert json.loads("".join(c["function"]["arguments"] for c in calls)) == {"location": "Paris"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert "huggingface.co" not in ended.logged
    if not can_be_alone:
        pytest.skip("answered, but with a network: needs ip, and the right to unshare it")

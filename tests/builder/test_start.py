"""The image's start script, run for real: which worker it starts, and sshd beside it.

sshd and its client are OpenSSH's, at a high port.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import DEMO, ROOT
from tests.support.container import Container, fake_python, free_port, needs_container
from tests.support.http_server import until

pytestmark = pytest.mark.workers

PASSWORD = "correct horse: battery $taple"
QUEUE = "https://api.runpod.ai/v2/ep/job-take/$ID?gpu=X"
Start = Callable[..., Container]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts containers, which end with the test."""
    containers: list[Container] = []

    def starting(*, real: bool = False, **environment: str) -> Container:
        folder = tmp_path / f"container-{len(containers)}"
        folder.mkdir()
        containers.append(Container(folder, real=real, **environment))
        return containers[-1]

    yield starting
    for container in containers:
        container.close()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "key")


def make_key(path: Path) -> Path:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-C", "", "-N", "", "-f", path], check=True
    )
    return path


def public(key: Path) -> str:
    """What RunPod puts into PUBLIC_KEY."""
    return key.with_suffix(".pub").read_text().strip()


@pytest.mark.skipif(not shutil.which("tini"), reason="needs tini: apt-get install tini")
@pytest.mark.parametrize(
    ("environment", "command"),
    [
        ({}, "python3 -m worker.serve"),
        ({"RUNPOD_WEBHOOK_GET_JOB": ""}, "python3 -m worker.serve"),
        ({"RUNPOD_POD_ID": "pod", "PUBLIC_KEY": "", "SSH_PASSWORD": ""}, "python3 -m worker.serve"),
        ({"RUNPOD_WEBHOOK_GET_JOB": QUEUE}, "python3 -u handler.py"),
    ],
)
def test_a_queue_worker_where_there_is_a_queue_else_the_http_api(
    environment: dict[str, str], command: str, tmp_path: Path
) -> None:
    """An empty value counts as unset. The worker's exit status is the container's."""
    path = f"{fake_python(tmp_path / 'bin', 'exit 7')}:{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / "builder" / "start.sh"],
        env={"PATH": path, **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == f"started: {command}"
    assert done.returncode == 7
    assert done.stderr == ""


@needs_container
def test_a_queue_worker_has_no_sshd(start: Start, key: Path) -> None:
    """Nor the password in its environment."""
    container = start(RUNPOD_WEBHOOK_GET_JOB=QUEUE, PUBLIC_KEY=public(key), SSH_PASSWORD=PASSWORD)
    assert "started: python3 -u handler.py" in container.wait_started()
    assert PASSWORD not in container.log()
    assert not container.listens()


@needs_container
def test_without_key_and_password_nothing_listens(start: Start) -> None:
    """The HTTP API runs alone."""
    container = start()
    assert "started: python3 -m worker.serve" in container.wait_started()
    assert not container.listens()


@needs_container
def test_a_key_opens_it_and_a_session_has_the_containers_variables(start: Start, key: Path) -> None:
    """Files are root's alone to read, since secrets are among the variables."""
    container = start(PUBLIC_KEY=public(key), RUNPOD_POD_ID="pod", HF_TOKEN="hf secret=1 #x")
    container.wait_for_sshd()
    session = container.ssh("env; cd; stat -c '%a %n' .ssh .ssh/*", key=key)
    assert session.returncode == 0, session.stderr
    assert {"RUNPOD_POD_ID=pod", "HF_TOKEN=hf secret=1 #x"} <= set(session.stdout.splitlines())
    assert f"HOME={container.home}" in session.stdout
    assert "PUBLIC_KEY" not in session.stdout
    assert session.stdout.splitlines()[-3:] == [
        "700 .ssh",
        "600 .ssh/authorized_keys",
        "600 .ssh/environment",
    ]


@needs_container
def test_each_of_several_keys_opens_it(start: Start, key: Path, tmp_path: Path) -> None:
    """One a line, whatever the line's end; another key does not."""
    second, stranger = make_key(tmp_path / "second"), make_key(tmp_path / "stranger")
    container = start(PUBLIC_KEY=f"{public(key)}\r\n{public(second)}\n")
    container.wait_for_sshd()
    assert container.ssh("true", key=key).returncode == 0
    assert container.ssh("true", key=second).returncode == 0
    assert "Permission denied (publickey)" in container.ssh("true", key=stranger).stderr


@needs_container
def test_a_password_is_refused_where_only_a_key_is_given(start: Start, key: Path) -> None:
    """Not even asked for."""
    container = start(PUBLIC_KEY=public(key))
    container.wait_for_sshd()
    assert "Permission denied (publickey)" in container.ssh("true", password="").stderr


@needs_container
def test_a_password_opens_it_where_it_is_given_and_is_nowhere_to_be_seen(start: Start) -> None:
    """Not in an environment, a command line, a log, or a file in plain text."""
    container = start(SSH_PASSWORD=PASSWORD)
    container.wait_for_sshd()
    assert "Permission denied" in container.ssh("true", password="wrong").stderr
    look = (
        "whoami; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n';"
        "cat ~/.ssh/environment /etc/shadow"
    )
    session = container.ssh(look, password=PASSWORD)
    assert session.stdout.startswith("root\n"), session.stderr
    assert "worker.serve" in session.stdout
    assert PASSWORD not in session.stdout
    assert "SSH_PASSWORD" not in session.stdout
    assert PASSWORD not in container.log()


@needs_container
def test_no_two_containers_have_one_host_key(start: Start, key: Path) -> None:
    """It is made at start."""
    containers = [start(PUBLIC_KEY=public(key)) for _ in range(2)]
    host_keys: set[str] = set()
    for container in containers:
        container.wait_for_sshd()
        scan = ["ssh-keyscan", "-p", str(container.ssh_port), "127.0.0.1"]
        found = subprocess.run(scan, capture_output=True, text=True, check=True).stdout
        host_keys |= {line.split()[-1] for line in found.splitlines() if line[0] != "#"}
    assert len(host_keys) == 2


@needs_container
def test_an_sshd_that_cannot_be_started_is_said_and_the_api_starts(start: Start, key: Path) -> None:
    """Whether it does not start at all, or finds its port taken."""
    refused = start(PUBLIC_KEY=public(key), SSH_PORT="many")
    assert "started: python3 -m worker.serve" in refused.wait_started()
    assert "sshd failed to start; starting the API without it" in refused.log()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        blocked = start(PUBLIC_KEY=public(key), SSH_PORT=str(taken.getsockname()[1]))
        assert "started: python3 -m worker.serve" in blocked.wait_started()
        until(lambda: "Cannot bind any address" in blocked.log(), 20)


@needs_container
def test_strangers_who_knock_are_not_in_the_log(start: Start, key: Path) -> None:
    """A scanner's probe, a wrong protocol, a wrong password: any open port gets many of these."""
    container = start(PUBLIC_KEY=public(key))
    container.wait_for_sshd()  # by connecting and leaving
    said = container.wait_started()
    with socket.create_connection(("127.0.0.1", container.ssh_port)) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.recv(100).startswith(b"SSH-2.0")
    assert container.ssh("true", password="wrong").returncode != 0
    assert container.log() == said


@needs_container
def test_what_a_session_leaves_behind_is_reaped(start: Start, key: Path) -> None:
    """And sshd is not the worker's child."""
    container = start(PUBLIC_KEY=public(key))
    container.wait_for_sshd()
    container.ssh("setsid sleep 0.1 >/dev/null 2>&1 &", key=key)

    def processes() -> list[list[str]]:
        listed = container.ssh("ps -eo pid=,ppid=,stat=,comm=", key=key).stdout
        return [line.split() for line in listed.splitlines()]

    until(lambda: [p for p in processes() if p[3] == "sleep"][1:] == [], 10)
    names = {pid: (parent, name) for pid, parent, _, name, *_ in processes()}
    assert [p for p in processes() if p[2].startswith("Z")] == []
    assert names["1"] == ("0", "tini")
    assert ("1", "sleep") in names.values()  # the worker's stand-in
    assert ("1", "sshd") in names.values()


@needs_container
def test_sigterm_reaches_a_worker_that_has_no_handler_for_it_yet(start: Start) -> None:
    """As the first process of a container it would not get it, and be killed much later."""
    container = start()
    container.wait_started()
    assert container.stop() == 128 + 15


@needs_container
def test_the_api_through_a_tunnel_and_its_end(start: Start, key: Path) -> None:
    """A pod's day, with the demo model: boot, `ssh -L`, health, a chat, SIGTERM, exit status 0."""
    api, local = free_port(), free_port()
    container = start(real=True, PORT=str(api), PUBLIC_KEY=public(key), **DEMO)
    container.wait_for_sshd()
    tunnel = container.ssh_command("-N", "-L", f"{local}:localhost:{api}", key=key)
    question = {"messages": [{"role": "user", "content": "What is 2+2?"}], "temperature": 0}
    with (
        subprocess.Popen(tunnel) as ssh,
        httpx.Client(base_url=f"http://127.0.0.1:{local}", timeout=60) as client,
    ):
        until(lambda: ping(client) == 204, 100)
        until(lambda: ping(client) == 200, 180)
        answer = client.post("/v1/chat/completions", json=question).json()
        assert "4" in answer["choices"][0]["message"]["content"]
        assert container.stop() == 0
        assert ssh.wait(20) != 0  # sshd has ended with the container
    assert not container.listens()


def ping(client: httpx.Client) -> int:
    """The status, or 0 while nothing answers."""
    try:
        return client.get("/ping").status_code
    except httpx.TransportError:
        return 0

"""Runs the start script as a container does: as the first process, with its own /etc and home.

Rule: nothing on the machine is changed. The processes are in a PID namespace and end with its first
process; root's password and home directory, and sshd's files in /run, are in a mount namespace.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support import ROOT
from tests.support.http_server import until

_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_ENTER = 'mount --bind "$1/etc" /etc; mount -t tmpfs tmpfs /run; exec builder/start.sh'
_FAKE_PYTHON = """#!/bin/sh
env
echo "started: python3 $*"
"""
_SSH_OPTIONS = (
    "UserKnownHostsFile=/dev/null",
    "StrictHostKeyChecking=no",
    "LogLevel=ERROR",
    "IdentitiesOnly=yes",
    "NumberOfPasswordPrompts=1",
)


def _missing() -> str:
    """What this machine lacks to run a container; empty if nothing."""
    if os.geteuid() != 0:
        return "needs root, to create namespaces and set root's password in them"
    for tool in ("unshare", "tini", "ssh", "ssh-keygen", "chpasswd", "/usr/sbin/sshd"):
        if not shutil.which(tool):
            return f"needs {tool}: apt-get install openssh-server openssh-client tini"
    if subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode != 0:
        return "needs a machine that allows namespaces"
    return ""


needs_container = pytest.mark.skipif(bool(_missing()), reason=_missing())


def fake_python(folder: Path, then: str) -> Path:
    """A new folder whose python3 prints its environment and arguments, then runs `then`."""
    folder.mkdir()
    (folder / "python3").write_text(_FAKE_PYTHON + then)
    (folder / "python3").chmod(0o755)
    return folder


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Container:
    """Runs builder/start.sh with an environment, and connects to its sshd.

    Its python3 is a fake that sleeps, unless `real`.
    """

    def __init__(self, folder: Path, *, real: bool = False, **environment: str) -> None:
        self._folder = folder
        self.ssh_port = free_port()
        self.home = folder / "home"
        self.home.mkdir(mode=0o700)
        shutil.copytree("/etc", folder / "etc", symlinks=True)
        passwd = folder / "etc" / "passwd"
        passwd.write_text(passwd.read_text().replace(":/root:", f":{self.home}:", 1))
        fake = folder / "bin"
        python = Path(sys.executable).parent if real else fake_python(fake, "exec sleep 600")
        path = f"{python}:{os.environ['PATH']}"
        with (folder / "log").open("w") as output:
            self.process = subprocess.Popen(
                [*_UNSHARE, "sh", "-ec", _ENTER, "sh", folder],
                cwd=ROOT,
                env={"PATH": path, "SSH_PORT": str(self.ssh_port)} | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def log(self) -> str:
        return (self._folder / "log").read_text()

    def wait_started(self) -> str:
        """Waits until the fake python3 has started. Returns the log."""
        until(lambda: "started: " in self.log(), 20)
        return self.log()

    def wait_for_sshd(self) -> None:
        """Waits until sshd listens."""
        until(self.listens, 20)

    def ssh_command(self, *command: str, key: Path | None = None) -> list[str]:
        """The ssh command line for a session, with `key` or with a password."""
        identity = ("-i", str(key)) if key else ("-o", "PubkeyAuthentication=no")
        options = [word for option in _SSH_OPTIONS for word in ("-o", option)]
        return [
            *("ssh", "-F", "none", *options, *identity, "-p", str(self.ssh_port)),
            *("root@127.0.0.1", *command),
        ]

    def ssh(
        self, *command: str, key: Path | None = None, password: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in a session. ssh gets the password from an askpass script."""
        ask = self._folder / "ask"
        ask.write_text('#!/bin/sh\necho "$PASSWORD"\n')
        ask.chmod(0o700)
        asking = {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force", "PASSWORD": password}
        return subprocess.run(
            self.ssh_command(*command, key=key),
            env=os.environ | asking,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def listens(self) -> bool:
        """Whether anything listens on sshd's port."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.ssh_port)) == 0

    def stop(self) -> int:
        """Sends SIGTERM to the first process, as a platform does. Returns the exit status."""
        (first,) = psutil.Process(self.process.pid).children()
        first.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

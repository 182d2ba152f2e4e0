"""The start script as a container runs it: as the first process, with its own /etc and home.

Rule: nothing of the machine is changed. The processes are in a PID namespace and end with its
first; root's password and home, and what sshd keeps in /run, are in a mount namespace.
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
_STAND_IN = """#!/bin/sh
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
    """What this machine lacks for a container."""
    if os.geteuid() != 0:
        return "needs root: it makes namespaces, and sets root's password in them"
    for tool in ("unshare", "tini", "ssh", "ssh-keygen", "chpasswd", "/usr/sbin/sshd"):
        if not shutil.which(tool):
            return f"needs {tool}: apt-get install openssh-server openssh-client tini"
    if subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode != 0:
        return "needs a machine that allows namespaces"
    return ""


needs_container = pytest.mark.skipif(bool(_missing()), reason=_missing())


def stand_in(folder: Path, then: str) -> Path:
    """A folder whose python3 says with what environment and how it was started, and `then`."""
    folder.mkdir()
    (folder / "python3").write_text(_STAND_IN + then)
    (folder / "python3").chmod(0o755)
    return folder


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Container:
    """builder/start.sh with an environment, and a client of its sshd.

    Its python3 is the stand-in, unless it is `real`.
    """

    def __init__(self, folder: Path, *, real: bool = False, **environment: str) -> None:
        self._folder = folder
        self.ssh_port = free_port()
        self.home = folder / "home"
        self.home.mkdir(mode=0o700)
        shutil.copytree("/etc", folder / "etc", symlinks=True)
        passwd = folder / "etc" / "passwd"
        passwd.write_text(passwd.read_text().replace(":/root:", f":{self.home}:", 1))
        python = Path(sys.executable).parent if real else stand_in(folder / "bin", "exec sleep 600")
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

    def started(self) -> str:
        """What the stand-in said, once it has said it."""
        until(lambda: "started: " in self.log(), 20)
        return self.log()

    def has_sshd(self) -> None:
        """Waits until sshd listens."""
        until(self.listens, 20)

    def ssh_command(self, *words: str, key: Path | None = None) -> list[str]:
        """A session's, with `key` or with a password."""
        identity = ("-i", str(key)) if key else ("-o", "PubkeyAuthentication=no")
        options = [word for option in _SSH_OPTIONS for word in ("-o", option)]
        return [
            *("ssh", "-F", "none", *options, *identity, "-p", str(self.ssh_port)),
            *("root@127.0.0.1", *words),
        ]

    def ssh(
        self, *words: str, key: Path | None = None, password: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """What `words` said in a session. ssh asks a script for the password."""
        ask = self._folder / "ask"
        ask.write_text('#!/bin/sh\necho "$PASSWORD"\n')
        ask.chmod(0o700)
        asking = {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force", "PASSWORD": password}
        return subprocess.run(
            self.ssh_command(*words, key=key),
            env=os.environ | asking,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def listens(self) -> bool:
        """Whether something does at sshd's port."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.ssh_port)) == 0

    def stop(self) -> int:
        """Sends SIGTERM to the first process, as a platform does; the exit status."""
        (first,) = psutil.Process(self.process.pid).children()
        first.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

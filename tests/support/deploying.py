"""Runs `python -m worker.deploy` in its own process, against an emulator's account."""

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support import ROOT

KEY = "rpa_9Q3XTESTKEY"


@dataclass(frozen=True)
class Ran:
    """How the command ended."""

    status: int
    out: str
    error: str

    @property
    def lines(self) -> list[str]:
        """What it said, line by line."""
        return self.error.splitlines()


class RunPod:
    """The emulator's account at `url`, and whoever deploys to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=60)

    def close(self) -> None:
        self._http.close()

    def environment(self) -> dict[str, str]:
        return environment(self.url)

    def deploy(self, *arguments: str, **variables: str) -> Ran:
        """Runs the command to its end. A RUNPOD_API_KEY in `variables` replaces the right one."""
        return deploy(*arguments, **{**self.environment(), **variables})

    def started(self, *arguments: str) -> "subprocess.Popen[str]":
        """The running command."""
        return subprocess.Popen(
            command(*arguments),
            cwd=ROOT,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def overview(self) -> dict[str, Any]:
        """What there is: endpoints, pods, and the bodies that created them."""
        return self._http.get("/account").json()

    def set_faults(self, **faults: Any) -> None:
        """Replaces all faults by these; without arguments, none is left."""
        self._http.put("/account/faults", json=faults).raise_for_status()

    def clear(self) -> None:
        """Deletes everything."""
        self.set_faults()
        there = self.overview()
        for path, kind in (("serverless", "endpoints"), ("pods", "pods")):
            for each in there[kind]:
                self.ask("DELETE", f"/v2/{path}/{each['id']}").raise_for_status()

    def ask(self, method: str, path: str, body: Any = None, key: str = KEY) -> httpx.Response:
        """One request to RunPod's API."""
        headers = {"Authorization": f"Bearer {key}"}
        return self._http.request(method, path, json=body, headers=headers)


def deploy(*arguments: str, **variables: str) -> Ran:
    """Runs the command with this environment alone."""
    done = subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def environment(url: str) -> dict[str, str]:
    """Of the command, for an account at `url`."""
    return {"PATH": os.environ["PATH"], "RUNPOD_API_KEY": KEY, "RUNPOD_API_BASE_URL": url}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "worker.deploy", *arguments]

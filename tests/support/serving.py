"""Runs the HTTP API in its own process, for tests."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from tests.support import DEMO, ROOT

BEARER = {"authorization": "Bearer secret-key"}


class Serving:
    """A server process, and a client of it."""

    def __init__(
        self, log: Path, module: str = "worker.serve", *arguments: str, **settings: str
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.log = log
        environment = {"PORT": str(port), "API_KEY": "secret-key", **DEMO, **settings}
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, "--host", "127.0.0.1", *arguments],
                cwd=ROOT,
                env=os.environ | environment,
                stderr=output,
            )
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.url, headers=BEARER, timeout=60)

    def ping(self) -> int:
        """The status of /ping; 0 while nothing listens."""
        try:
            return self.client.get("/ping").status_code
        except httpx.TransportError:
            return 0

    def end(self) -> None:
        """Kills the process unless it has exited by itself; running requests are not awaited."""
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

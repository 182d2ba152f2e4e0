"""Runs other people's clients: the scripts of tests/clients, by their own interpreters.

A client is named by its script and, if that knows several APIs, the one to use: `pydantic_ai
responses` is `with_pydantic_ai.py responses`, and `node/openai` is `node/with_openai.mjs`.
"""

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

from tests.support import ROOT

SCRIPTS = ROOT / "tests" / "clients"
ENVIRONMENTS = {
    "langgraph": "langchain",
    "litellm_messages": "litellm",
    "litellm_responses": "litellm",
    "openai_responses": "openai",
}
"""The environment of a script that has none of its own name."""
PLACES = "4"
"""Concurrent requests that the server allows each key."""


def needs_node(client: str) -> None:
    """Skips the test if the client's interpreter is not installed."""
    if client.startswith("node/") and shutil.which("node") is None:
        pytest.skip("there is no node here")


def report_of(client: str, url: str, **variables: str) -> dict[str, Any]:
    """What a client saw of the server at `url`, by scenario.

    `variables` are those that the scenarios read in addition (tests/clients/scenarios.py).
    """
    common = {
        "WORKER_URL": f"{url}/v1",
        "WORKER_KEY": "secret-key",
        "WORKER_BUSY_KEY": "busy-key",
        "WORKER_MODEL": "gpt-oss",
        "MAX_REQUESTS_PER_KEY": PLACES,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would ask the network for prices
    }
    run = subprocess.run(
        _command(client),
        env=os.environ | common | variables,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    print(run.stderr)  # shown where the test fails
    return json.loads(run.stdout.splitlines()[-1])


def python_of(environment: str) -> str:
    """The interpreter of a client's environment (`make clients`)."""
    return str(ROOT / ".clients" / environment / "bin" / "python")


def _command(client: str) -> list[str]:
    script, *api = client.split()
    if script.startswith("node/"):
        return ["node", str(SCRIPTS / "node" / f"with_{script.removeprefix('node/')}.mjs"), *api]
    python = python_of(ENVIRONMENTS.get(script, script))
    return [python, str(SCRIPTS / f"with_{script}.py"), *api]

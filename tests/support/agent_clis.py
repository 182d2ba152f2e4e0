"""Command-line agents as npm installs them, run without a terminal, each in folders of its own.

They are told where the worker is as their documentation says (docs/clients.md has the same
settings). Their packages are wrappers in JavaScript; the program itself is in the package for the
platform, and is started directly.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import ROOT

PACKAGES = ROOT / "tests" / "clients" / "cli" / "node_modules"
CODEX = PACKAGES / "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"
CLAUDE = PACKAGES / "@anthropic-ai/claude-code-linux-x64/claude"
OPENCODE = PACKAGES / "opencode-linux-x64/bin/opencode"
KEY = "secret-key"
MODEL = "gpt-oss"


class Run(NamedTuple):
    """What an agent did: its exit status, its events, and its last words (or its error)."""

    status: int
    events: list[dict[str, Any]]
    text: str


def codex(folder: Path, url: str, prompt: str, *options: str, config: str = "") -> Run:
    """`codex exec`. `config` is added to its config.toml; its work is in `folder`/work."""
    home = folder / "codex"
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(
        f"""
        model = "{MODEL}"
        model_provider = "worker"
        model_context_window = 131072
        {config}
        [model_providers.worker]
        name = "worker"
        base_url = "{url}/v1"
        wire_api = "responses"
        env_key = "WORKER_KEY"
        request_max_retries = 0
        stream_max_retries = 0
        [mcp_servers.demo]
        command = "python3"
        args = ["{ROOT / "tests/support/mcp_server.py"}"]
        """
    )
    sandbox = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
    status, events = _run(
        folder,
        [CODEX, "exec", "--json", *sandbox, *options, prompt],
        {"CODEX_HOME": str(home), "WORKER_KEY": KEY},
    )
    failures = [event["error"]["message"] for event in events if event["type"] == "turn.failed"]
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    texts = [item["text"] for item in items if item["type"] == "agent_message"]
    return Run(status, events, [*texts, *failures][-1])


def claude_code(folder: Path, url: str, prompt: str, *options: str, **variables: str) -> Run:
    """`claude -p`, with these environment variables in addition."""
    home = folder / "claude"
    home.mkdir(parents=True, exist_ok=True)
    status, events = _run(
        folder,
        [
            *(CLAUDE, "-p", prompt, "--output-format", "stream-json", "--verbose"),
            *("--dangerously-skip-permissions", *options),
        ],
        {
            "CLAUDE_CONFIG_DIR": str(home),
            "IS_SANDBOX": "1",  # else it refuses to skip permissions as root
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_AUTH_TOKEN": KEY,
            "ANTHROPIC_MODEL": MODEL,
            "ANTHROPIC_DEFAULT_HAIKU_MODEL": MODEL,
            "CLAUDE_CODE_MAX_CONTEXT_TOKENS": "131072",
            "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "0",
            **variables,
        },
    )
    return Run(status, events, events[-1]["result"])


def opencode(folder: Path, url: str, prompt: str, package: str) -> Run:
    """`opencode run` through a provider's npm package, all of which are built into the program."""
    models = {MODEL: {"reasoning": True, "limit": {"context": 131072, "output": 8192}}}
    options = {"baseURL": f"{url}/v1", "apiKey": KEY}
    config = {
        "autoupdate": False,
        "permission": {"*": "allow"},
        "model": f"worker/{MODEL}",
        "small_model": f"worker/{MODEL}",
        "provider": {"worker": {"npm": package, "options": options, "models": models}},
    }
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    (work / "opencode.json").write_text(json.dumps(config))
    status, events = _run(
        folder,
        [OPENCODE, "run", "--format", "json", prompt],
        {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"},
    )
    return Run(status, events, events[-2]["part"].get("text", ""))


def _run(
    folder: Path, command: Sequence[Path | str], variables: Mapping[str, str]
) -> tuple[int, list[dict[str, Any]]]:
    """Runs an agent in `folder`/work with a home of its own. Returns its status and its events."""
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    run = subprocess.run(
        [*map(str, command)],
        cwd=work,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    print(run.stdout, run.stderr)  # shown where the test fails
    lines = [line for line in run.stdout.splitlines() if line.startswith("{")]
    return run.returncode, [json.loads(line) for line in lines]

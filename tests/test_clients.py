"""Every client that people use, as it is installed from its registry, against the HTTP API.

The server is a process with a real engine, whose sampler says the dialogue of clients_server. Each
client runs in an environment of its own (`make clients`) and reports what it got.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from tests.support.clients_server import HISTORY_DIFFERS
from tests.support.http_server import GatedEngine, running, until
from tests.support.serving import ROOT, Serving
from worker.engine import Sampling, Step

pytestmark = pytest.mark.slow

SCRIPTS = ROOT / "tests" / "clients"
PLACES = "4"

HELLO = "Hello! How can I help you today?"
CITY = {"name": "Paris", "degrees": 21}
EVERY: dict[str, Any] = {
    "chat": HELLO,
    "stream": {"text": HELLO, "in pieces": True},
    "tool_loop": {"turns": 3, "ran": ["Paris", "Oslo"], "answer": "Paris is warmer."},
    "parallel_calls": {"turns": 2, "ran": ["Paris", "Oslo"], "answer": "Paris is warmer."},
    "structured_output": CITY,
    "retries": {"answer": HELLO, "waited": True},
}
"""What every client gets in the scenarios that all have."""
BY_CALL = {"structured_by_call": CITY}
JSON_MODE = {"json_mode": CITY}
REASONING = {"reasoning": {"whole": "They greet me.", "streamed": "They greet me."}}

CLIENTS: dict[str, dict[str, Any]] = {
    "openai": EVERY | BY_CALL | REASONING,
    "node": EVERY | BY_CALL | REASONING,
    "agents": EVERY | REASONING,
    "langchain": EVERY
    | BY_CALL
    | JSON_MODE
    | {"reasoning": {"whole": "", "streamed": ""}},  # its OpenAI model knows no such field
    "langgraph": EVERY | BY_CALL,
    "llama_index": EVERY
    | BY_CALL
    | REASONING
    | {"graph": {"found": ["Marie Curie -> DISCOVERED -> Radium"], "answer": "Marie Curie did."}},
    "pydantic_ai": EVERY | BY_CALL | REASONING,
    "litellm": EVERY | REASONING,
    "instructor": {name: EVERY[name] for name in EVERY.keys() - {"tool_loop"}}
    | BY_CALL
    | JSON_MODE
    | {
        "growing_object": {"object": CITY, "in pieces": True},
        "parallel_calls": ["Paris", "Oslo"],  # the objects: it runs no tools
        "reasoning": {"whole": "As JSON."},  # the object's, in its raw answer
    },
}

CASES = (
    "wrong key", "bad value", "unknown model", "too long",
    "failing", "booting", "failing in mid-stream", "too many",
)  # fmt: skip
OPENAIS = (
    "AuthenticationError", "BadRequestError", "NotFoundError", "BadRequestError",
    "InternalServerError", "InternalServerError", "APIError", "RateLimitError",
)  # fmt: skip
LANGCHAINS = (
    "OpenAIAuthenticationError", "OpenAIInvalidRequestError", "OpenAIModelNotFoundError",
    "OpenAIContextOverflowError", "OpenAIAPIError", "OpenAIAPIError", "APIError",
    "OpenAIRateLimitError",
)  # fmt: skip
ERRORS = {
    "langchain": LANGCHAINS,
    "langgraph": LANGCHAINS,
    "pydantic_ai": (
        "ModelAuthenticationError", "ModelRequestRejectedError", "ModelNotFoundError",
        "ModelContextWindowExceededError", "ModelServerError", "ModelUnavailableError",
        "ModelServerError", "ModelRateLimitError",
    ),
    "litellm": (
        "AuthenticationError", "BadRequestError", "NotFoundError", "ContextWindowExceededError",
        "InternalServerError", "ServiceUnavailableError", "MidStreamFallbackError",
        "RateLimitError",
    ),
}  # fmt: skip
"""What a client raises in each case, where it is not what OpenAI's raises."""

SAME_ENVIRONMENT = {"langgraph": "langchain"}


class FailingEngine(GatedEngine):
    """It fails when it has said a word or two."""

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        async with aclosing(super().generate(prompt_ids, sampling, rid)) as steps:
            async for step in steps:
                yield step
                if step.completion_tokens == 5:
                    raise RuntimeError("on purpose")


class Servers:
    """The server with the dialogue, and the clients' environment variables."""

    def __init__(self, serving: Serving, variables: dict[str, str]) -> None:
        self.serving = serving
        self.variables = variables

    def report_of(self, client: str) -> dict[str, Any]:
        """What a client saw, scenario by scenario."""
        run = subprocess.run(
            _command(client),
            env=os.environ | self.variables,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        print(run.stderr)  # shown where the test fails
        return json.loads(run.stdout.splitlines()[-1])


def _command(client: str) -> list[str]:
    if client == "node":
        return ["node", str(SCRIPTS / "node" / "with_openai.mjs")]
    place = ROOT / ".clients" / SAME_ENVIRONMENT.get(client, client)
    return [str(place / "bin" / "python"), str(SCRIPTS / f"with_{client}.py")]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    serving = Serving(
        tmp_path_factory.mktemp("clients") / "log",
        "tests.support.clients_server",
        API_KEY="secret-key,busy-key",
        MAX_REQUESTS_PER_KEY=PLACES,
        MAX_MODEL_LEN="8192",
        SERVED_MODEL_NAME="gpt-oss",
    )
    try:
        until(lambda: serving.ping() == 200, 280)
        with running(ready=False) as booting, running(FailingEngine()) as failing:
            variables = {
                "WORKER_URL": f"{serving.url}/v1",
                "WORKER_KEY": "secret-key",
                "WORKER_BUSY_KEY": "busy-key",
                "WORKER_MODEL": "gpt-oss",
                "MAX_REQUESTS_PER_KEY": PLACES,
                "BOOTING_URL": f"{booting.url}/v1",
                "FAILING_URL": f"{failing.url}/v1",
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would ask the network for prices
            }
            yield Servers(serving, variables)
    finally:
        serving.end()


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_gets_what_it_asks_for(
    servers: Servers, client: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Chat, stream, tools, objects, and its own exceptions; its history stays token-exact."""
    if client == "node" and shutil.which("node") is None:
        pytest.skip("there is no node here")
    log_before = servers.serving.log.read_text()
    report = servers.report_of(client)
    with capsys.disabled():
        print(f"\n{client}: {', '.join(report)}", file=sys.stderr)
    raised = ERRORS.get(client, OPENAIS)
    assert report.pop("errors") == dict(zip(CASES, raised, strict=True))
    assert report == CLIENTS[client]
    assert HISTORY_DIFFERS not in servers.serving.log.read_text().removeprefix(log_before)

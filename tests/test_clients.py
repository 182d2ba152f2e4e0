"""Every client that people use, as it is installed from its registry, against the HTTP API.

The server is a process with a real engine, whose sampler says the dialogue of clients_server. Each
client runs in an environment of its own (`make clients`) and reports what it got.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

import pytest

from tests.support.clients_server import HISTORY_DIFFERS, last_message, output_for
from tests.support.http_server import GatedEngine, RunningServer, running, until
from tests.support.scripted_engine import ScriptedEngine, tokens
from tests.support.serving import ROOT, Serving
from worker.engine import Sampling, Step
from worker.harmony.vocabulary import token_bytes

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


class Servers(NamedTuple):
    """The server with the dialogue, and the clients' environment variables."""

    serving: Serving
    variables: dict[str, str]


def report_of(client: str, variables: dict[str, str]) -> dict[str, Any]:
    """What a client saw, scenario by scenario."""
    if client == "node" and shutil.which("node") is None:
        pytest.skip("there is no node here")
    run = subprocess.run(
        _command(client),
        env=os.environ | variables,
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
            yield Servers(serving, _variables(serving.url, booting, failing))
    finally:
        serving.end()


def _variables(url: str, booting: RunningServer, failing: RunningServer) -> dict[str, str]:
    return {
        "WORKER_URL": f"{url}/v1",
        "WORKER_KEY": "secret-key",
        "WORKER_BUSY_KEY": "busy-key",
        "WORKER_MODEL": "gpt-oss",
        "MAX_REQUESTS_PER_KEY": PLACES,
        "BOOTING_URL": f"{booting.url}/v1",
        "FAILING_URL": f"{failing.url}/v1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would ask the network for prices
    }


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_gets_what_it_asks_for(
    servers: Servers, client: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Chat, stream, tools, objects, and its own exceptions; its history stays token-exact."""
    log_before = servers.serving.log.read_text()
    report = report_of(client, servers.variables)
    with capsys.disabled():
        print(f"\n{client}: {', '.join(report)}", file=sys.stderr)
    raised = ERRORS.get(client, OPENAIS)
    assert report.pop("errors") == dict(zip(CASES, raised, strict=True))
    assert report == CLIENTS[client]
    assert HISTORY_DIFFERS not in servers.serving.log.read_text().removeprefix(log_before)


PADDING = {"Paris first.": 10, "Now Oslo.": 285, "Both.": 1280}
"""Tokens to add to a thought: they make ids of 100, 1,000 and 4,000 characters."""


class CarryingEngine(ScriptedEngine):
    """It says the dialogue, and thinks at greater length before each call.

    The ids that are added are random, so no client can send them back as text. `exact` and `lost`
    count the prompts after a tool's result, by whether they hold the latest thought's ids.
    """

    def __init__(self) -> None:
        super().__init__(())
        self.exact = self.lost = 0
        self._thought: list[int] = []
        self._odd = [token for token in range(1000, 20_000) if token_bytes()[token].isascii()]

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        message = last_message(prompt_ids)
        if message.startswith(("Paris: ", "Oslo: ")):
            size = len(self._thought)
            parts = (prompt_ids[at : at + size] for at in range(len(prompt_ids)))
            exact = self._thought in parts
            self.exact, self.lost = self.exact + exact, self.lost + (not exact)
        thought, end, rest = output_for(message).partition("<|end|>")
        self._thought = [*tokens(thought), *self._padding(thought), *tokens(end)]
        self.script = [*self._thought, *tokens(rest)]
        async with aclosing(super().generate(prompt_ids, sampling, rid)) as steps:
            async for step in steps:
                yield step

    def _padding(self, thought: str) -> list[int]:
        count = sum(n for text, n in PADDING.items() if thought.endswith(text))
        return random.Random(count).choices(self._odd, k=count)  # noqa: S311


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_carries_reasoning_in_the_ids_of_its_calls(client: str) -> None:
    """Ids of up to 4,000 characters come back whole, and nothing else is needed."""
    settings: dict[str, Any] = {"api_key": "secret-key,busy-key", "max_requests_per_key": PLACES}
    engine = CarryingEngine()
    carrying = running(engine, reasoning_in_call_ids=5000, reasoning_memory_mb=0, **settings)
    with carrying as server, running(ready=False) as booting, running(FailingEngine()) as failing:
        report = report_of(client, _variables(server.url, booting, failing))
    for scenario in ("tool_loop", "parallel_calls"):
        assert report.get(scenario) == CLIENTS[client].get(scenario)
    assert engine.lost == 0
    assert engine.exact > 0 or client == "instructor"  # it runs no tools

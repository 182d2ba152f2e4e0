"""Every client that people use, as it is installed from its registry, against the HTTP API.

The server is a process with a real engine, whose sampler says the dialogue of clients_server. Each
client runs in an environment of its own (`make clients`) and reports what it got.
"""

import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.client_scripts import PLACES, needs_node, report_of
from tests.support.http_server import GatedEngine, running, until
from tests.support.serving import Serving
from tests.support.turns import recorded, strays
from worker.engine import Sampling, Step

pytestmark = pytest.mark.slow


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
NOT_RETRIED = {name: EVERY[name] for name in EVERY.keys() - {"retries"}}
BY_CALL = {"structured_by_call": CITY}
JSON_MODE = {"json_mode": CITY}
REASONING = {"reasoning": {"whole": "They greet me.", "streamed": "They greet me."}}

HIDDEN = {"reasoning": {"whole": "", "streamed": ""}}
"""Reasoning that the client returns to the server, but does not show."""
TWICE = {"streamed_tool_loop": EVERY["tool_loop"]}
STORED = {"stored_tool_loop": EVERY["tool_loop"]}
AI_SDK = EVERY | REASONING | TWICE

CLIENTS: dict[str, dict[str, Any]] = {
    "openai": EVERY | BY_CALL | REASONING,
    "openai_responses": EVERY | REASONING | STORED | {"referred_tool_loop": EVERY["tool_loop"]},
    "node/openai": EVERY | BY_CALL | REASONING,
    "node/openai_responses": EVERY | REASONING | STORED,
    "agents": EVERY | REASONING,
    "agents responses": EVERY | REASONING | STORED,
    "langchain": EVERY | BY_CALL | JSON_MODE | HIDDEN | TWICE,
    "langchain responses": EVERY | BY_CALL | JSON_MODE | HIDDEN | TWICE,
    "langchain messages": EVERY | BY_CALL | REASONING | TWICE,
    "langgraph": EVERY | BY_CALL,
    "llama_index": EVERY
    | BY_CALL
    | REASONING
    | {"graph": {"found": ["Marie Curie -> DISCOVERED -> Radium"], "answer": "Marie Curie did."}},
    "pydantic_ai": EVERY | BY_CALL | REASONING,
    "pydantic_ai responses": EVERY | BY_CALL | REASONING,
    "pydantic_ai messages": EVERY | BY_CALL | REASONING,
    "litellm": EVERY | REASONING,
    "litellm_responses": NOT_RETRIED
    | STORED
    | {"reasoning": {"whole": "They greet me.", "streamed": ""}},  # it drops these deltas
    "litellm_messages": NOT_RETRIED | REASONING,
    "instructor": {name: EVERY[name] for name in EVERY.keys() - {"tool_loop"}}
    | BY_CALL
    | JSON_MODE
    | {
        "growing_object": {"object": CITY, "in pieces": True},
        "parallel_calls": ["Paris", "Oslo"],  # the objects: it runs no tools
        "reasoning": {"whole": "As JSON."},  # the object's, in its raw answer
    },
    "anthropic": EVERY | BY_CALL | REASONING | {"tool_runner": EVERY["tool_loop"], "counted": True},
    "node/ai_sdk open-responses": AI_SDK,
    "node/ai_sdk openai": AI_SDK | {"reasoning": {"streamed": ""}},  # it shows summaries alone
    "node/ai_sdk openai-stateless": AI_SDK | {"reasoning": {"streamed": ""}},
    "node/ai_sdk anthropic": AI_SDK,
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
LANGCHAINS_ANTHROPIC = (
    "AnthropicAuthenticationError", "AnthropicInvalidRequestError",
    "AnthropicModelNotFoundError", "AnthropicContextOverflowError", "AnthropicAPIError",
    "AnthropicAPIError", "APIStatusError", "AnthropicRateLimitError",
)  # fmt: skip
PYDANTIC_AIS = (
    "ModelAuthenticationError", "ModelRequestRejectedError", "ModelNotFoundError",
    "ModelContextWindowExceededError", "ModelServerError", "ModelUnavailableError",
    "ModelServerError", "ModelRateLimitError",
)  # fmt: skip
LITELLMS = (
    "AuthenticationError", "BadRequestError", "NotFoundError", "ContextWindowExceededError",
    "InternalServerError",
)  # fmt: skip
AI_SDKS = (*("APICallError",) * 6, "StreamProviderError", "APICallError")
ERRORS = {
    "langchain": LANGCHAINS,
    "langchain responses": LANGCHAINS,
    "langchain messages": LANGCHAINS_ANTHROPIC,
    "langgraph": LANGCHAINS,
    "pydantic_ai": PYDANTIC_AIS,
    "pydantic_ai responses": PYDANTIC_AIS,
    "pydantic_ai messages": (*PYDANTIC_AIS[:5], "ModelOverloadedError", *PYDANTIC_AIS[6:]),
    "litellm": (*LITELLMS, "ServiceUnavailableError", "MidStreamFallbackError", "RateLimitError"),
    "litellm_responses": (
        *LITELLMS, "ServiceUnavailableError", "InternalServerError", "RateLimitError",
    ),
    "litellm_messages": (*LITELLMS, "InternalServerError", "RuntimeError", "RateLimitError"),
    "anthropic": (*OPENAIS[:5], "ServiceUnavailableError", "APIStatusError", "RateLimitError"),
    "node/ai_sdk open-responses": AI_SDKS,
    "node/ai_sdk openai": AI_SDKS,
    "node/ai_sdk openai-stateless": AI_SDKS,
    "node/ai_sdk anthropic": AI_SDKS,
}  # fmt: skip
"""What a client raises in each case, where it is not what OpenAI's raises."""


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
    """The server with the dialogue, the file of its turns, and two servers that are in trouble."""

    url: str
    turns: Path
    troubled: dict[str, str]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("clients")
    turns = folder / "turns.jsonl"
    serving = Serving(
        folder / "log",
        "tests.support.clients_server",
        "--turns",
        str(turns),
        API_KEY="secret-key,busy-key",
        MAX_REQUESTS_PER_KEY=PLACES,
        MAX_MODEL_LEN="8192",
        SERVED_MODEL_NAME="gpt-oss",
    )
    try:
        until(lambda: serving.ping() == 200, 280)
        with running(ready=False) as booting, running(FailingEngine()) as failing:
            troubled = {"BOOTING_URL": f"{booting.url}/v1", "FAILING_URL": f"{failing.url}/v1"}
            yield Servers(serving.url, turns, troubled)
    finally:
        serving.end()


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_gets_what_it_asks_for(
    servers: Servers, client: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Chat, stream, tools, objects, and its own exceptions; its history stays token-exact."""
    needs_node(client)
    before = len(recorded([servers.turns]))
    report = report_of(client, servers.url, **servers.troubled)
    with capsys.disabled():
        print(f"\n{client}: {', '.join(report)}", file=sys.stderr)
    raised = ERRORS.get(client, OPENAIS)
    assert report.pop("errors") == dict(zip(CASES, raised, strict=True))
    assert report == CLIENTS[client]
    assert not strays(recorded([servers.turns])[before:])

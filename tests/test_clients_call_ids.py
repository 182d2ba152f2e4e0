"""REASONING_IN_CALL_IDS with chat clients, which return nothing of a turn's reasoning but its ids.

The server is without an engine and remembers no turn: reasoning that a prompt holds came back in
the id of a call.
"""

import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from tests.support.client_scripts import PLACES, needs_node, report_of
from tests.support.dialogue import last_message, output_to
from tests.support.http_server import running
from tests.support.scripted_engine import ScriptedEngine, tokens
from tests.support.turns import index
from tests.test_clients import CLIENTS, FailingEngine
from worker.engine import Sampling, Step
from worker.harmony.vocabulary import token_bytes

pytestmark = pytest.mark.slow

CHAT_CLIENTS = (
    *("openai", "node/openai", "agents", "langchain", "langgraph", "llama_index", "pydantic_ai"),
    *("litellm", "instructor"),
)
PADDING = {"Paris first.": 10, "Now Oslo.": 285, "Both.": 1280}
"""Tokens to add to a thought: they make ids of 100, 1,000 and 4,000 characters."""


class CarryingEngine(ScriptedEngine):
    """It says the dialogue, and thinks at greater length before each call.

    The tokens that are added are random, so no client can send them back as text. `exact` and
    `lost` count the prompts after a tool's result, by whether they hold the latest thought's ids.
    """

    def __init__(self) -> None:
        super().__init__(())
        self.exact = self.lost = 0
        self._thought: list[int] = []
        self._odd = [token for token in range(1000, 20_000) if token_bytes()[token].isascii()]

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        if last_message(prompt_ids).startswith(("Paris: ", "Oslo: ")):
            exact = index(prompt_ids, self._thought) is not None
            self.exact, self.lost = self.exact + exact, self.lost + (not exact)
        thought, end, rest = output_to(prompt_ids).partition("<|end|>")
        self._thought = [*tokens(thought), *self._padding(thought), *tokens(end)]
        self.script = [*self._thought, *tokens(rest)]
        async with aclosing(super().generate(prompt_ids, sampling, rid)) as steps:
            async for step in steps:
                yield step

    def _padding(self, thought: str) -> list[int]:
        count = sum(n for text, n in PADDING.items() if thought.endswith(text))
        return random.Random(count).choices(self._odd, k=count)  # noqa: S311


@pytest.mark.parametrize("client", CHAT_CLIENTS)
def test_a_client_carries_reasoning_in_the_ids_of_its_calls(client: str) -> None:
    """Ids of up to 4,000 characters come back whole, and nothing else is needed."""
    needs_node(client)
    engine = CarryingEngine()
    carrying = running(
        engine,
        reasoning_in_call_ids=5000,
        reasoning_memory_mb=0,
        api_key="secret-key,busy-key",
        max_requests_per_key=int(PLACES),
    )
    with carrying as server, running(ready=False) as booting, running(FailingEngine()) as failing:
        troubled = {"BOOTING_URL": f"{booting.url}/v1", "FAILING_URL": f"{failing.url}/v1"}
        report = report_of(client, server.url, **troubled)
    for scenario in ("tool_loop", "parallel_calls"):
        assert report.get(scenario) == CLIENTS[client].get(scenario)
    assert engine.lost == 0
    assert engine.exact > 0 or client == "instructor"  # it runs no tools

"""The CPU cost per streamed token of each API, side by side: what responses and messages cost
beside chat.

All APIs answer the same steps, one token each; the engine is a list, so only the worker's own path
is measured, from reading the request to server-sent events. They run in turn in one process, and
each round gives one ratio to chat.
Run: `python -m benchmarks.api_cost [--quick]`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from benchmarks.harness import Case, Figure, in_turn, question_parser, ratios, save
from benchmarks.tables import show
from worker.api.routes import route_for
from worker.engine import Health
from worker.generation import Sampling, Step
from worker.harmony.vocabulary import encoding
from worker.job_metrics import JobMetrics
from worker.model import Model
from worker.service import Service
from worker.settings import Settings

ROUNDS = 15
QUICK_ROUNDS = 1
WORDS = "The weather in Paris is sunny today and the sky is blue. " * 100
CALL = "<|channel|>commentary to=functions.write <|constrain|>json<|message|>"
TURNS = {
    "reasoning": f"<|channel|>analysis<|message|>{WORDS}<|end|>",
    "text": f"<|channel|>final<|message|>{WORDS}<|return|>",
    "call": f'{CALL}{{"text": "{WORDS}"}}<|call|>',
}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"text": {"type": "string"}}}
FUNCTION: dict[str, Any] = {"name": "write", "parameters": SCHEMA}
CHAT = "/v1/chat/completions"
QUESTION = [{"role": "user", "content": "Write."}]
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {
        "messages": QUESTION,
        "tools": [{"type": "function", "function": FUNCTION}],
    },
    "/v1/responses": {
        "input": QUESTION,
        "tools": [{"type": "function", **FUNCTION}],
    },
    "/v1/messages": {
        "messages": QUESTION,
        "tools": [{"name": "write", "input_schema": SCHEMA}],
        "max_tokens": 10_000,
    },
}


class ListEngine:
    """Generates `ids` for every prompt, one a step."""

    def __init__(self) -> None:
        self.ids: Sequence[int] = ()

    async def start(self) -> None:
        pass

    async def generate(
        self,
        prompt_ids: Sequence[int],
        sampling: Sampling,  # noqa: ARG002
        rid: str,  # noqa: ARG002
    ) -> AsyncGenerator[Step]:
        last = len(self.ids)
        for count, token in enumerate(self.ids, start=1):
            yield Step([token], "stop" if count == last else None, len(prompt_ids), 0, count)

    def abort(self, rid: str) -> None:
        pass

    def health(self) -> Health:
        return Health.READY

    async def close(self) -> None:
        pass


async def main(rounds: int) -> None:
    engine = ListEngine()
    service = Service(engine, Model("x", ("m",), 131072), Settings())
    figures: list[Figure] = []
    for name, turn in TURNS.items():
        engine.ids = encoding().encode(turn, allowed_special="all")
        measured = await in_turn(
            {path: partial(cost, service, path, len(engine.ids)) for path in BODIES}, rounds
        )
        case: Case = {"turn": name}
        for path, costs in measured.items():
            beside_chat = ratios(costs, measured[CHAT])
            figures += [
                Figure("cost", path, "CPU µs per token", case, costs),
                Figure("cost beside chat", path, "ratio", case, beside_chat),
            ]
    show(figures)
    save("api_cost", figures)


async def cost(service: Service, path: str, tokens: int) -> float:
    """The CPU microseconds per token of one stream."""
    started = time.process_time()
    exchange = await service.read(route_for(path), {**BODIES[path], "stream": True})
    async with aclosing(exchange.answer(JobMetrics())) as batches:
        async for batch in batches:
            "".join(map(exchange.dialect.event, batch))
    return (time.process_time() - started) * 1e6 / tokens


if __name__ == "__main__":
    parser = question_parser("api_cost", __doc__)
    asyncio.run(main(QUICK_ROUNDS if parser.parse_args().quick else ROUNDS))

"""A tool loop with scripted model output.

The random and the demo model can only cycle through their words, but an agent's turns have
reasoning and a tool call, which is what the turn memory and the capsules are for. So here the
sampler is forced: each turn's output follows from the number of calls in its prompt.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

from worker.api.routes import route_for
from worker.engine import SglangEngine
from worker.generation import Sampling
from worker.harmony.vocabulary import CALL, encoding
from worker.job_metrics import JobMetrics
from worker.service import Service

CHAT = route_for("/v1/chat/completions")
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"location": {"type": "string"}}},
        },
    }
]
THOUGHT = (
    "I have to look at the weather there, and at what it was on the day before, to see whether it "
    "will rain."
)


class LoopEngine(SglangEngine):
    """Wraps a booted engine, which then generates the loop's turns.

    `thought`: what the model thinks before each call. `cache`: a prefix cache of its own, by name:
    two of them are as two workers' caches, which share nothing. Without a name, it is the engine's.
    """

    def __init__(
        self, booted: SglangEngine, thought: str = THOUGHT, cache: str | None = None
    ) -> None:
        super().__init__({})
        self.__dict__.update(booted.__dict__)
        self._thought = thought
        self._cache = cache

    def _request(self, prompt_ids: Sequence[int], sampling: Sampling) -> dict[str, Any]:
        from benchmarks.forced_sampler import Script  # it imports SGLang

        request = super()._request(prompt_ids, sampling)
        script = turn(prompt_ids.count(CALL), self._thought)
        request["sampling_params"]["custom_params"] = {"script": script}
        request["custom_logit_processor"] = Script.to_str()
        return request if self._cache is None else {**request, "cache_salt": self._cache}


def turn(number: int, thought: str) -> list[int]:
    """The model's output in one turn of the loop."""
    return encoding().encode(
        f"<|channel|>analysis<|message|>Now day {number}: {thought}<|end|><|start|>assistant"
        "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
        f'{{"location":"Paris, day {number}"}}<|call|>',
        allowed_special="all",
    )


class TurnFigures(NamedTuple):
    """Of one turn: prompt tokens, how many of them were in the prefix cache, seconds to the first
    token, and those of them that passed before the engine had the prompt; and how many turns of the
    history had their reasoning from where (`lost`: from nowhere)."""

    prompt: int
    cached: int
    ttft: float
    before_engine: float
    reasoning: Mapping[str, int]


class Agent:
    """A chat client in a tool loop; it sends calls back without their reasoning."""

    def __init__(self, place: str = "Paris") -> None:
        """`place`: what it asks about, which makes its history another than other agents'."""
        question = f"Weather in {place}, every day?"
        self._messages: list[dict[str, Any]] = [{"role": "user", "content": question}]

    async def turn(self, worker: Service) -> TurnFigures:
        """The next turn, taken by `worker`; adds the call and its result to the history."""
        body = {"messages": self._messages, "tools": TOOLS, "temperature": 0, "max_tokens": 200}
        metrics = JobMetrics()
        exchange = await worker.read(CHAT, body)
        before_engine = metrics.seconds
        async with aclosing(exchange.answer(metrics)) as batches:
            (answer,) = [each async for batch in batches for each in batch]
        (call,) = answer["choices"][0]["message"]["tool_calls"]
        arguments = json.dumps(json.loads(call["function"]["arguments"]))
        call = call | {"function": call["function"] | {"arguments": arguments}}
        result = f"{len(self._messages) // 2} °C, " * 20
        self._messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": result},
        ]
        assert metrics.usage is not None
        assert metrics.first_token_seconds is not None
        return TurnFigures(
            metrics.usage.prompt,
            metrics.usage.cached,
            metrics.first_token_seconds,
            before_engine,
            dict(metrics.reasoning),
        )

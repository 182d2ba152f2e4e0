"""A tool loop with scripted model output, on both SGLang 0.5.17 and 0.5.23.

The random model can only cycle through its words, but an agent's turns have reasoning and a tool
call, which is what the turn memory is for. So here, and only here, the sampler is forced.
"""

import json
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import torch
from sglang.srt.sampling.custom_logit_processor import CustomLogitProcessor

from worker.api.routes import route_for
from worker.engine import SglangEngine
from worker.generation import Sampling
from worker.harmony.vocabulary import encoding
from worker.job_metrics import JobMetrics
from worker.service import Service

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"location": {"type": "string"}}},
        },
    }
]


class Script(CustomLogitProcessor):
    """Forces the sampler to choose the next id of the request's script.

    The position in the script is derived from the request's KV cache length, which both versions
    have, in different places.
    """

    def __call__(
        self, logits: torch.Tensor, custom_param_list: list[dict[str, Any]] | None = None
    ) -> torch.Tensor:
        for row, params in enumerate(custom_param_list or ()):
            script, request = params["script"], params["__req__"]
            committed = getattr(request, "kv_committed_len", None)
            if committed is None:
                committed = request.kv.kv_committed_len
            position = max(0, committed - len(request.origin_input_ids))
            logits[row, :] = -float("inf")
            logits[row, script[min(position, len(script) - 1)]] = 0.0
        return logits


class ForcedEngine(SglangEngine):
    """Wraps a booted engine, which then generates the given scripts, one per request."""

    def __init__(self, booted: SglangEngine, scripts: Sequence[Sequence[int]]) -> None:
        super().__init__({})
        self.__dict__.update(booted.__dict__)
        self._scripts = [list(script) for script in scripts]

    def _request(self, prompt_ids: Sequence[int], sampling: Sampling) -> dict[str, Any]:
        request = super()._request(prompt_ids, sampling)
        request["sampling_params"]["custom_params"] = {"script": self._scripts.pop(0)}
        return {**request, "custom_logit_processor": Script.to_str()}


def turn(number: int) -> list[int]:
    """The model's output in one turn of the loop."""
    return encoding().encode(
        f"<|channel|>analysis<|message|>Now day {number}: I have to look at the weather there, and "
        "at what it was on the day before, to see whether it will rain.<|end|><|start|>assistant"
        "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
        f'{{"location":"Paris, day {number}"}}<|call|>',
        allowed_special="all",
    )


async def loop(booted: SglangEngine, model: Any, settings: Any, turns: int) -> list[list[int]]:
    """[prompt tokens, cached tokens] of each turn; the client resends calls without reasoning."""
    service = Service(ForcedEngine(booted, [turn(n) for n in range(turns)]), model, settings)
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Weather in Paris, every day?"}]
    found: list[list[int]] = []
    for number in range(turns):
        body = {"messages": messages, "tools": TOOLS, "temperature": 0, "max_tokens": 200}
        async with aclosing(
            (await service.read(route_for("/v1/chat/completions"), body)).answer(JobMetrics())
        ) as batches:
            (answer,) = [each async for batch in batches for each in batch]
        usage, message = answer["usage"], answer["choices"][0]["message"]
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        found.append([usage["prompt_tokens"], cached])
        (call,) = message["tool_calls"]
        arguments = json.dumps(json.loads(call["function"]["arguments"]))
        call = call | {"function": call["function"] | {"arguments": arguments}}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": f"{number} °C, " * 20},
        ]
    return found

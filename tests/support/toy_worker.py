"""A worker without an engine: RunPod's SDK and a handler that does as its job's input says.

`words`: what to stream, with `pause` seconds between; `error`: how to fail in the end; `progress`:
what to report before; `deep`: say how deep the input is nested. A job in the OpenAI form is
answered with the last message's own words, as server-sent events or as one object; a question
about the weather with a call of a tool.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

import runpod.serverless

CONCURRENCY = 4
USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 3,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 8},
}


async def handler(job: Mapping[str, Any]) -> AsyncGenerator[Any]:
    asked = job["input"]
    if "openai_route" in asked:
        async for output in answer(asked["openai_route"], asked["openai_input"]):
            yield output
        return
    if "progress" in asked:
        runpod.serverless.progress_update(dict(job), asked["progress"])
    if "deep" in asked:
        yield depth(asked["deep"])
    for word in asked.get("words", []):
        yield word
        await asyncio.sleep(asked.get("pause", 0))
    if "error" in asked:
        yield {"error": asked["error"]}


def depth(nested: Any) -> int:
    """How many lists stand in each other."""
    levels = 0
    while nested:
        nested, levels = nested[0], levels + 1
    return levels + 1


async def answer(route: str, body: Mapping[str, Any]) -> AsyncGenerator[Any]:
    """An OpenAI request, answered with the last message's own words."""
    if route != "/v1/chat/completions":
        yield {"object": "list", "data": [{"id": "toy", "object": "model"}]}
        return
    said = body["messages"][-1]["content"]
    if said.startswith('{"message"'):
        yield {"error": said}
        return
    if not body.get("stream"):
        yield completion("message", {"content": said}, "chat.completion")
        return
    for delta in deltas(said, calls="Weather" in said):
        yield f"data: {json.dumps(completion('delta', delta, 'chat.completion.chunk'))}\n\n"
        await asyncio.sleep(0.02)
    usage = completion("delta", {}, "chat.completion.chunk") | {"choices": [], "usage": USAGE}
    yield f"data: {json.dumps(usage)}\n\ndata: [DONE]\n\n"


def deltas(said: str, *, calls: bool) -> Iterator[dict[str, Any]]:
    if not calls:
        yield from ({"content": word} for word in said.split())
        return
    yield {"reasoning": "I ask the tool."}
    for part in ('{"location":', ' "Paris"}'):
        function = {"name": "get_weather" if ":" in part else "", "arguments": part}
        yield {"tool_calls": [{"index": 0, "id": "call_1", "function": function}]}


def completion(key: str, said: Mapping[str, Any], kind: str) -> dict[str, Any]:
    choice = {"index": 0, key: {"role": "assistant", **said}, "finish_reason": None}
    return {"id": "toy", "object": kind, "created": 0, "model": "toy", "choices": [choice]}


if __name__ == "__main__":
    runpod.serverless.start(
        {
            "handler": handler,
            "return_aggregate_stream": True,
            "concurrency_modifier": lambda _current: CONCURRENCY,
        }
    )

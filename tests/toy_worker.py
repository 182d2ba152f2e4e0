"""A worker without an engine: RunPod's SDK and a handler that does as its job's input says.

`words`: what to stream, with `pause` seconds between; `error`: how to fail in the end; `progress`:
what to report before. A job in the OpenAI form is answered word by word as server-sent events, or
with one object if it does not want a stream.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import runpod.serverless

CONCURRENCY = 4


async def handler(job: Mapping[str, Any]) -> AsyncGenerator[Any]:
    asked = job["input"]
    if "openai_route" in asked:
        async for output in answer(asked["openai_route"], asked["openai_input"]):
            yield output
        return
    if "progress" in asked:
        runpod.serverless.progress_update(dict(job), asked["progress"])
    for word in asked.get("words", []):
        yield word
        await asyncio.sleep(asked.get("pause", 0))
    if "error" in asked:
        yield {"error": asked["error"]}


async def answer(route: str, body: Mapping[str, Any]) -> AsyncGenerator[Any]:
    """An OpenAI request, answered with the last message's own words."""
    if route != "/v1/chat/completions":
        yield {"object": "list", "data": [{"id": "toy", "object": "model"}]}
        return
    said = body["messages"][-1]["content"]
    if said.startswith("{"):
        yield {"error": said}
        return
    if not body.get("stream"):
        yield completion("message", said, "chat.completion")
        return
    for word in said.split():
        yield f"data: {json.dumps(completion('delta', word, 'chat.completion.chunk'))}\n\n"
        await asyncio.sleep(0.02)
    yield "data: [DONE]\n\n"


def completion(key: str, content: str, kind: str) -> dict[str, Any]:
    choice = {"index": 0, key: {"role": "assistant", "content": content}, "finish_reason": None}
    return {"id": "toy", "object": kind, "created": 0, "model": "toy", "choices": [choice]}


if __name__ == "__main__":
    runpod.serverless.start(
        {
            "handler": handler,
            "return_aggregate_stream": True,
            "concurrency_modifier": lambda _current: CONCURRENCY,
        }
    )

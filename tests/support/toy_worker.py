"""A worker without an engine: RunPod's SDK and a handler that is controlled by the job's input.

`words`: what to stream, with `pause` seconds in between; `error`: the error to end with;
`progress`: a progress update to send first; `deep`: report how deeply this value is nested. A job
in the OpenAI form echoes the last message, as server-sent events or as one object; a streamed
question about the weather is answered with a tool call.
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
    given = job["input"]
    if "openai_route" in given:
        async for output in answer(given["openai_route"], given["openai_input"]):
            yield output
        return
    if "progress" in given:
        runpod.serverless.progress_update(dict(job), given["progress"])
    if "deep" in given:
        yield depth(given["deep"])
    for word in given.get("words", []):
        yield word
        await asyncio.sleep(given.get("pause", 0))
    if "error" in given:
        yield {"error": given["error"]}


def depth(nested: Any) -> int:
    """The nesting depth of a list."""
    levels = 0
    while nested:
        nested, levels = nested[0], levels + 1
    return levels + 1


async def answer(route: str, body: Mapping[str, Any]) -> AsyncGenerator[Any]:
    """Answers an OpenAI request with the text of its last message."""
    if route != "/v1/chat/completions":
        yield {"object": "list", "data": [{"id": "toy", "object": "model"}]}
        return
    text = body["messages"][-1]["content"]
    if text.startswith('{"message"'):
        yield {"error": text}
        return
    if not body.get("stream"):
        yield completion("message", {"content": text}, "chat.completion")
        return
    for delta in deltas(text, calls="Weather" in text):
        yield f"data: {json.dumps(completion('delta', delta, 'chat.completion.chunk'))}\n\n"
        await asyncio.sleep(0.02)
    usage = completion("delta", {}, "chat.completion.chunk") | {"choices": [], "usage": USAGE}
    yield f"data: {json.dumps(usage)}\n\ndata: [DONE]\n\n"


def deltas(text: str, *, calls: bool) -> Iterator[dict[str, Any]]:
    if not calls:
        yield from ({"content": word} for word in text.split())
        return
    yield {"reasoning": "I ask the tool."}
    for part in ('{"location":', ' "Paris"}'):
        function = {"name": "get_weather" if ":" in part else "", "arguments": part}
        yield {"tool_calls": [{"index": 0, "id": "call_1", "function": function}]}


def completion(key: str, fields: Mapping[str, Any], kind: str) -> dict[str, Any]:
    choice = {"index": 0, key: {"role": "assistant", **fields}, "finish_reason": None}
    return {"id": "toy", "object": kind, "created": 0, "model": "toy", "choices": [choice]}


if __name__ == "__main__":
    runpod.serverless.start(
        {
            "handler": handler,
            "return_aggregate_stream": True,
            "concurrency_modifier": lambda _current: CONCURRENCY,
        }
    )

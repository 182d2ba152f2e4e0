"""LiteLLM's Messages API, with its provider `anthropic/`. It is asynchronous, and speaks JSON."""

import asyncio
import json
from typing import Any

import litellm
from scenarios import (
    BOTH,
    COMPARE,
    DESCRIBE,
    HELLO,
    PLAIN,
    Ask,
    cities_queried,
    get_weather,
    report,
)

litellm.suppress_debug_info = True  # it would be printed to stdout, like the report
TOOLS = [
    {
        "name": "get_weather",
        "description": "The weather in a city.",
        "input_schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    }
]
CITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["name", "degrees"],
    "additionalProperties": False,
}


def prompt(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


async def create(messages: list, case: Ask = PLAIN, **options: Any) -> Any:
    return await litellm.anthropic_messages(
        model=f"anthropic/{case.model}",
        messages=messages,
        system="Be brief.",
        max_tokens=1000,
        api_base=case.anthropic_url,
        api_key=case.key,
        top_p=case.top_p,
        **options,
    )


def text_of(message: dict) -> str:
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")


async def deltas(text: str, case: Ask = PLAIN) -> list[dict]:
    """The deltas of a stream, which this client passes on as server-sent events, errors too.

    Raises RuntimeError at one of these.
    """
    events = b"".join([piece async for piece in await create(prompt(text), case, stream=True)])
    lines = events.decode().splitlines()
    data = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    for event in data:
        if event["type"] == "error":
            raise RuntimeError(event["error"]["message"])
    return [event["delta"] for event in data if event["type"] == "content_block_delta"]


def ask(case: Ask) -> str:
    return text_of(asyncio.run(create(prompt(case.text), case)))


def pieces(case: Ask) -> list[str]:
    return [delta["text"] for delta in asyncio.run(deltas(case.text, case)) if "text" in delta]


async def loop(question: str) -> dict:
    messages = prompt(question)
    turns = [await create(messages, tools=TOOLS)]
    while turns[-1]["stop_reason"] == "tool_use":
        results = [
            {
                "type": "tool_result",
                "tool_use_id": block["id"],
                "content": get_weather(**block["input"]),
            }
            for block in turns[-1]["content"]
            if block["type"] == "tool_use"
        ]
        messages.append({"role": "assistant", "content": turns[-1]["content"]})
        messages.append({"role": "user", "content": results})
        turns.append(await create(messages, tools=TOOLS))
    return {"turns": len(turns), "ran": list(cities_queried), "answer": text_of(turns[-1])}


def tool_loop() -> dict:
    return asyncio.run(loop(COMPARE))


def parallel_calls() -> dict:
    return asyncio.run(loop(BOTH))


def structured_output() -> dict:
    held = {"format": {"type": "json_schema", "schema": CITY}}
    return json.loads(text_of(asyncio.run(create(prompt(DESCRIBE), output_config=held))))


def reasoning() -> dict:
    whole = asyncio.run(create(prompt(HELLO)))["content"][0]["thinking"]
    streamed = [delta.get("thinking", "") for delta in asyncio.run(deltas(HELLO))]
    return {"whole": whole, "streamed": "".join(streamed)}


report(ask, pieces, tool_loop, parallel_calls, structured_output, reasoning, waits=False)

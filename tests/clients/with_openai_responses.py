"""OpenAI's Python client, with the Responses API."""

import json
from typing import Any

from openai import OpenAI
from openai.types.responses import Response
from pydantic import BaseModel
from scenarios import (
    BOTH,
    COMPARE,
    DESCRIBE,
    HELLO,
    KEY,
    MODEL,
    URL,
    Ask,
    cities_queried,
    get_weather,
    report,
)

client = OpenAI(base_url=URL, api_key=KEY)
TOOLS = [
    {
        "type": "function",
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    }
]
COMMON: dict[str, Any] = {"model": MODEL, "instructions": "Be brief."}


class City(BaseModel):
    name: str
    degrees: int


def ask(case: Ask) -> str:
    other = OpenAI(base_url=case.url, api_key=case.key, max_retries=case.retries)
    answer = other.responses.create(model=case.model, input=case.text, top_p=case.top_p)
    return answer.output_text


def pieces(case: Ask) -> list[str]:
    other = OpenAI(base_url=case.url, api_key=case.key, max_retries=case.retries)
    with other.responses.stream(model=case.model, input=case.text) as events:
        return [event.delta for event in events if event.type == "response.output_text.delta"]


def results(turn: Response) -> list[dict]:
    """What the tool answers to the calls of a turn."""
    return [
        {
            "type": "function_call_output",
            "call_id": item.call_id,
            "output": get_weather(**json.loads(item.arguments)),
        }
        for item in turn.output
        if item.type == "function_call"
    ]


def loop(question: str, **options: Any) -> dict:
    """A tool loop that sends all items back."""
    items: list = [{"role": "user", "content": question}]
    turns = 0
    while True:
        turn = streamed_turn(items, **options)
        turns += 1
        ran = results(turn)
        if not ran:
            return {"turns": turns, "ran": list(cities_queried), "answer": turn.output_text}
        items += [*turn.output, *ran]


def streamed_turn(items: list, **options: Any) -> Response:
    with client.responses.stream(input=items, tools=TOOLS, **COMMON, **options) as events:
        for _ in events:
            pass
        return events.get_final_response()


def tool_loop() -> dict:
    return loop(COMPARE, store=False, include=["reasoning.encrypted_content"])


def parallel_calls() -> dict:
    return loop(BOTH)


def stored_tool_loop() -> dict:
    """Each request sends the tool's results alone, and the ID of the response before."""
    turn = client.responses.create(input=COMPARE, tools=TOOLS, **COMMON)
    turns = 1
    while ran := results(turn):
        turn = client.responses.create(
            input=ran, tools=TOOLS, previous_response_id=turn.id, **COMMON
        )
        turns += 1
    return {"turns": turns, "ran": list(cities_queried), "answer": turn.output_text}


def referred_tool_loop() -> dict:
    """Items of the responses before are named by their IDs."""
    items: list = [{"role": "user", "content": COMPARE}]
    turns = 0
    while True:
        turn = client.responses.create(input=items, tools=TOOLS, **COMMON)
        turns += 1
        ran = results(turn)
        if not ran:
            return {"turns": turns, "ran": list(cities_queried), "answer": turn.output_text}
        items += [{"type": "item_reference", "id": item.id} for item in turn.output] + ran


def structured_output() -> dict:
    answer = client.responses.parse(input=DESCRIBE, text_format=City, **COMMON)
    return answer.output_parsed.model_dump()


def reasoning() -> dict:
    whole = client.responses.create(input=HELLO, **COMMON)
    events = client.responses.create(input=HELLO, stream=True, **COMMON)
    streamed = [event.delta for event in events if event.type == "response.reasoning_text.delta"]
    return {"whole": whole.output[0].content[0].text, "streamed": "".join(streamed)}


report(
    ask,
    pieces,
    tool_loop,
    parallel_calls,
    stored_tool_loop,
    referred_tool_loop,
    structured_output,
    reasoning,
)

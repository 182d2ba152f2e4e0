"""LiteLLM's Responses API, with its provider `openai/`."""

import json
from typing import Any

import litellm
from pydantic import BaseModel
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


class City(BaseModel):
    name: str
    degrees: int


def respond(items: str | list, case: Ask = PLAIN, **options: Any) -> Any:
    return litellm.responses(
        input=items,
        model=f"openai/{case.model}",
        instructions="Be brief.",
        api_base=case.url,
        api_key=case.key,
        top_p=case.top_p,
        **options,
    )


def ask(case: Ask) -> str:
    return respond(case.text, case).output_text


def pieces(case: Ask) -> list[str]:
    events = respond(case.text, case, stream=True)
    return [event.delta for event in events if event.type == "response.output_text.delta"]


def results(turn: Any) -> list[dict]:
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


def loop(question: str) -> dict:
    items: list = [{"role": "user", "content": question}]
    turns = [respond(items, tools=TOOLS, store=False)]
    while ran := results(turns[-1]):
        items += [item.model_dump(exclude_none=True) for item in turns[-1].output] + ran
        turns.append(respond(items, tools=TOOLS, store=False))
    return {
        "turns": len(turns),
        "ran": list(cities_queried),
        "answer": turns[-1].output_text,
    }


def tool_loop() -> dict:
    return loop(COMPARE)


def parallel_calls() -> dict:
    return loop(BOTH)


def stored_tool_loop() -> dict:
    """Each request sends the tool's results alone, and the ID of the response before."""
    turns = [respond(COMPARE, tools=TOOLS)]
    while ran := results(turns[-1]):
        turns.append(respond(ran, tools=TOOLS, previous_response_id=turns[-1].id))
    return {
        "turns": len(turns),
        "ran": list(cities_queried),
        "answer": turns[-1].output_text,
    }


def structured_output() -> dict:
    answer = respond(DESCRIBE, text_format=City)
    return City.model_validate_json(answer.output_text).model_dump()


def reasoning() -> dict:
    events = respond(HELLO, stream=True)
    streamed = [event.delta for event in events if event.type == "response.reasoning_text.delta"]
    return {"whole": respond(HELLO).output[0].content[0].text, "streamed": "".join(streamed)}


report(
    ask,
    pieces,
    tool_loop,
    parallel_calls,
    stored_tool_loop,
    structured_output,
    reasoning,
    waits=False,
)

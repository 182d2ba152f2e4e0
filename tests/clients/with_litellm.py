"""LiteLLM, with its provider `openai/`."""

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
        "function": {
            "name": "get_weather",
            "description": "The weather in a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


class City(BaseModel):
    name: str
    degrees: int


def prompt(text: str) -> list[dict]:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


def complete(messages: list, case: Ask = PLAIN, **options: Any) -> Any:
    return litellm.completion(
        model=f"openai/{case.model}",
        messages=messages,
        api_base=case.url,
        api_key=case.key,
        top_p=case.top_p,
        max_retries=case.retries,
        **options,
    )


def ask(case: Ask) -> str:
    return complete(prompt(case.text), case).choices[0].message.content


def pieces(case: Ask) -> list[str]:
    options = {"include_usage": True}
    chunks = complete(prompt(case.text), case, stream=True, stream_options=options)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    return [delta.content for delta in deltas if delta.content]


def loop(question: str) -> dict:
    messages = prompt(question)
    turns = [complete(messages, tools=TOOLS).choices[0].message]
    while turns[-1].tool_calls:
        messages.append(turns[-1])
        for call in turns[-1].tool_calls:
            result = get_weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        turns.append(complete(messages, tools=TOOLS).choices[0].message)
    return {"turns": len(turns), "ran": list(cities_queried), "answer": turns[-1].content}


def tool_loop() -> dict:
    return loop(COMPARE)


def parallel_calls() -> dict:
    return loop(BOTH)


def structured_output() -> dict:
    answer = complete(prompt(DESCRIBE), response_format=City)
    return City.model_validate_json(answer.choices[0].message.content).model_dump()


def reasoning() -> dict:
    whole = complete(prompt(HELLO)).choices[0].message.reasoning_content
    deltas = [chunk.choices[0].delta for chunk in complete(prompt(HELLO), stream=True)]
    streamed = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    return {"whole": whole, "streamed": streamed}


report(ask, pieces, tool_loop, parallel_calls, structured_output, reasoning)

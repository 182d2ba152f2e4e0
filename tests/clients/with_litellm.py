"""LiteLLM, by its provider `openai/`."""

import json
from typing import Any

import litellm
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
    asked_for,
    errors,
    get_weather,
    report,
    waits,
)

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


def said(text: str) -> list[dict]:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


def complete(messages: list, **options: Any) -> Any:
    options = {"api_base": URL, "api_key": KEY, "model": f"openai/{MODEL}", **options}
    return litellm.completion(messages=messages, **options)


def chat() -> str:
    return complete(said(HELLO)).choices[0].message.content


def stream() -> dict:
    chunks = list(complete(said(HELLO), stream=True, stream_options={"include_usage": True}))
    pieces = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    usage = any(getattr(chunk, "usage", None) for chunk in chunks)
    return {"text": "".join(pieces), "in pieces": len(pieces) > 1, "usage": usage}


def loop(question: str) -> dict:
    messages = said(question)
    turns = [complete(messages, tools=TOOLS).choices[0].message]
    while turns[-1].tool_calls:
        messages.append(turns[-1])
        for call in turns[-1].tool_calls:
            result = get_weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        turns.append(complete(messages, tools=TOOLS).choices[0].message)
    return {"turns": len(turns), "ran": list(asked_for), "answer": turns[-1].content}


def tool_loop() -> dict:
    return loop(COMPARE)


def parallel_calls() -> dict:
    return loop(BOTH)


def structured_output() -> dict:
    answer = complete(said(DESCRIBE), response_format=City)
    return City.model_validate_json(answer.choices[0].message.content).model_dump()


def reasoning() -> dict:
    whole = complete(said(HELLO)).choices[0].message.reasoning_content
    deltas = [chunk.choices[0].delta for chunk in complete(said(HELLO), stream=True)]
    streamed = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    return {"whole": whole, "streamed": streamed}


def ask(case: Ask, retries: int = 0) -> str:
    answer = complete(
        said(case.text),
        api_base=case.url,
        api_key=case.key,
        model=f"openai/{case.model}",
        temperature=case.temperature,
        max_retries=retries,
    )
    return answer.choices[0].message.content


def its_errors() -> dict:
    return errors(ask)


def its_waiting() -> dict:
    return waits(lambda case: ask(case, retries=2))


report(
    chat,
    stream,
    tool_loop,
    parallel_calls,
    structured_output,
    reasoning,
    its_errors,
    its_waiting,
)

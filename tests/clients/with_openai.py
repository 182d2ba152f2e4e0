"""OpenAI's Python client."""

import json

from openai import OpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletionMessage
from pydantic import BaseModel
from scenarios import (
    BOTH,
    COMPARE,
    DESCRIBE,
    DESCRIBE_BY_CALL,
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
    return [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": text}]


def ask(case: Ask) -> str:
    other = OpenAI(base_url=case.url, api_key=case.key, max_retries=case.retries)
    answer = other.chat.completions.create(
        model=case.model, messages=prompt(case.text), top_p=case.top_p, store=False
    )
    return answer.choices[0].message.content


def pieces(case: Ask) -> list[str]:
    other = OpenAI(base_url=case.url, api_key=case.key, max_retries=case.retries)
    options = {"include_usage": True}
    chunks = other.chat.completions.create(
        model=case.model, messages=prompt(case.text), stream=True, stream_options=options
    )
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    return [delta.content for delta in deltas if delta.content]


def loop(question: str) -> dict:
    messages = prompt(question)
    turns = [turn(messages)]
    while turns[-1].tool_calls:
        messages.append(turns[-1])
        for call in turns[-1].tool_calls:
            result = get_weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        turns.append(turn(messages))
    return {"turns": len(turns), "ran": list(cities_queried), "answer": turns[-1].content}


def turn(messages: list) -> ChatCompletionMessage:
    answer = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)
    return answer.choices[0].message


def tool_loop() -> dict:
    return loop(COMPARE)


def parallel_calls() -> dict:
    return loop(BOTH)


def structured_output() -> dict:
    answer = client.chat.completions.parse(
        model=MODEL, messages=prompt(DESCRIBE), response_format=City
    )
    return answer.choices[0].message.parsed.model_dump()


def structured_by_call() -> dict:
    tool = pydantic_function_tool(City)
    choice = {"type": "function", "function": {"name": "City"}}
    answer = client.chat.completions.parse(
        model=MODEL, messages=prompt(DESCRIBE_BY_CALL), tools=[tool], tool_choice=choice
    )
    return answer.choices[0].message.tool_calls[0].function.parsed_arguments.model_dump()


def reasoning() -> dict:
    whole = client.chat.completions.create(model=MODEL, messages=prompt(HELLO))
    chunks = client.chat.completions.create(model=MODEL, messages=prompt(HELLO), stream=True)
    streamed = [getattr(chunk.choices[0].delta, "reasoning", None) or "" for chunk in chunks]
    return {"whole": whole.choices[0].message.reasoning, "streamed": "".join(streamed)}


report(
    ask,
    pieces,
    tool_loop,
    parallel_calls,
    structured_output,
    structured_by_call,
    reasoning,
)

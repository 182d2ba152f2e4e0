"""Anthropic's Python client."""

from typing import Any

from anthropic import Anthropic, beta_tool
from anthropic.types import Message
from pydantic import BaseModel
from scenarios import (
    BOTH,
    COMPARE,
    DESCRIBE,
    DESCRIBE_BY_CALL,
    HELLO,
    KEY,
    MODEL,
    PLAIN,
    Ask,
    cities_queried,
    get_weather,
    report,
)

client = Anthropic(base_url=PLAIN.anthropic_url, api_key=KEY)
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
COMMON: dict[str, Any] = {"model": MODEL, "system": "Be brief.", "max_tokens": 1000}


class City(BaseModel):
    name: str
    degrees: int


def prompt(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def ask(case: Ask) -> str:
    other = Anthropic(base_url=case.anthropic_url, api_key=case.key, max_retries=case.retries)
    sampling = {"top_p": case.top_p}  # this client has no argument for it any more
    options = COMMON | {"model": case.model, "extra_body": sampling}
    return text_of(other.messages.create(messages=prompt(case.text), **options))


def pieces(case: Ask) -> list[str]:
    other = Anthropic(base_url=case.anthropic_url, api_key=case.key, max_retries=case.retries)
    with other.messages.stream(messages=prompt(case.text), **COMMON) as stream:
        return list(stream.text_stream)


def loop(question: str) -> dict:
    messages = prompt(question)
    turns = [streamed_turn(messages)]
    while turns[-1].stop_reason == "tool_use":
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": get_weather(**block.input)}
            for block in turns[-1].content
            if block.type == "tool_use"
        ]
        messages.append({"role": "assistant", "content": turns[-1].content})
        messages.append({"role": "user", "content": results})
        turns.append(streamed_turn(messages))
    return {"turns": len(turns), "ran": list(cities_queried), "answer": text_of(turns[-1])}


def streamed_turn(messages: list) -> Message:
    with client.messages.stream(messages=messages, tools=TOOLS, **COMMON) as stream:
        return stream.get_final_message()


def tool_loop() -> dict:
    return loop(COMPARE)


def parallel_calls() -> dict:
    return loop(BOTH)


def tool_runner() -> dict:
    """The client's own loop. It first asks the server to keep the conversation."""
    runner = client.beta.messages.tool_runner(
        messages=prompt(COMPARE), tools=[beta_tool(get_weather)], **COMMON
    )
    turns = list(runner)
    return {"turns": len(turns), "ran": list(cities_queried), "answer": text_of(turns[-1])}


def structured_output() -> dict:
    answer = client.messages.parse(messages=prompt(DESCRIBE), output_format=City, **COMMON)
    return answer.parsed_output.model_dump()


def structured_by_call() -> dict:
    tool = {"name": "City", "input_schema": City.model_json_schema()}
    choice = {"type": "tool", "name": "City"}
    answer = client.messages.create(
        messages=prompt(DESCRIBE_BY_CALL), tools=[tool], tool_choice=choice, **COMMON
    )
    return answer.content[-1].input


def reasoning() -> dict:
    whole = client.messages.create(messages=prompt(HELLO), **COMMON)
    with client.messages.stream(messages=prompt(HELLO), **COMMON) as stream:
        streamed = [event.thinking for event in stream if event.type == "thinking"]
    return {"whole": whole.content[0].thinking, "streamed": "".join(streamed)}


def counted() -> bool:
    """Whether the prompt's count is what its answer's usage says."""
    request = {"system": COMMON["system"], "tools": TOOLS, "messages": prompt(COMPARE)}
    count = client.messages.count_tokens(model=MODEL, **request)
    usage = client.messages.create(**COMMON | request).usage
    return count.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


report(
    ask,
    pieces,
    tool_loop,
    parallel_calls,
    tool_runner,
    structured_output,
    structured_by_call,
    reasoning,
    counted,
)

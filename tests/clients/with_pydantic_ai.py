"""Pydantic AI, through its model for OpenAI's chat completions."""

import asyncio

from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, ModelResponse, NativeOutput, ThinkingPart, ToolOutput
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
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
    asked_for,
    errors,
    get_weather,
    report,
    waits,
)

model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=URL, api_key=KEY))
greeter = Agent(model, instructions="Be brief.")


class City(BaseModel):
    name: str
    degrees: int


def chat() -> str:
    return greeter.run_sync(HELLO).output


def stream() -> dict:
    async def pieces() -> list[str]:
        async with greeter.run_stream(HELLO) as result:
            return [piece async for piece in result.stream_text(delta=True, debounce_by=None)]

    got = asyncio.run(pieces())
    return {"text": "".join(got), "in pieces": len(got) > 1}


def loop(question: str) -> dict:
    result = Agent(model, instructions="Be brief.", tools=[get_weather]).run_sync(question)
    return {
        "turns": sum(isinstance(message, ModelResponse) for message in result.all_messages()),
        "ran": sorted(asked_for, reverse=True),  # those of one turn run side by side
        "answer": result.output,
    }


def tool_loop() -> dict:
    return loop(COMPARE)


def parallel_calls() -> dict:
    return loop(BOTH)


def structured_output() -> dict:
    return Agent(model, output_type=NativeOutput(City)).run_sync(DESCRIBE).output.model_dump()


def structured_by_call() -> dict:
    agent = Agent(model, output_type=ToolOutput(City, name="City"))
    return agent.run_sync(DESCRIBE_BY_CALL).output.model_dump()


def reasoning() -> dict:
    async def streamed() -> list[ModelMessage]:
        async with greeter.run_stream(HELLO) as result:
            await result.get_output()
            return result.all_messages()

    whole = greeter.run_sync(HELLO).all_messages()
    return {"whole": shown(whole), "streamed": shown(asyncio.run(streamed()))}


def shown(messages: list[ModelMessage]) -> str:
    return "".join(part.content for part in messages[-1].parts if isinstance(part, ThinkingPart))


def ask(case: Ask, retries: int = 0) -> str:
    client = AsyncOpenAI(base_url=case.url, api_key=case.key, max_retries=retries)
    other = OpenAIChatModel(case.model, provider=OpenAIProvider(openai_client=client))
    settings = {"temperature": case.temperature}
    return Agent(other).run_sync(case.text, model_settings=settings).output


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
    structured_by_call,
    reasoning,
    its_errors,
    its_waiting,
)

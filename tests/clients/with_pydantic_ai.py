"""Pydantic AI, with its model for OpenAI's chat completions."""

import asyncio

from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, ModelResponse, NativeOutput, ThinkingPart, Tool, ToolOutput
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from scenarios import (
    BOTH,
    COMPARE,
    DESCRIBE,
    DESCRIBE_BY_CALL,
    HELLO,
    PLAIN,
    Ask,
    cities_queried,
    get_weather,
    report,
)


class City(BaseModel):
    name: str
    degrees: int


def model(case: Ask = PLAIN) -> OpenAIChatModel:
    """A new model: its client is bound to the event loop that it is first used on."""
    client = AsyncOpenAI(base_url=case.url, api_key=case.key, max_retries=case.retries)
    provider = OpenAIProvider(openai_client=client)
    return OpenAIChatModel(case.model, provider=provider, settings={"top_p": case.top_p})


def ask(case: Ask) -> str:
    return Agent(model(case), instructions="Be brief.").run_sync(case.text).output


def pieces(case: Ask) -> list[str]:
    async def streamed() -> list[str]:
        async with Agent(model(case)).run_stream(case.text) as result:
            return [piece async for piece in result.stream_text(delta=True, debounce_by=None)]

    return asyncio.run(streamed())


def loop(question: str, *, strict: bool) -> dict:
    tool = Tool(get_weather, strict=strict)
    result = Agent(model(), instructions="Be brief.", tools=[tool]).run_sync(question)
    return {
        "turns": sum(isinstance(message, ModelResponse) for message in result.all_messages()),
        "ran": sorted(cities_queried, reverse=True),  # calls of one turn run concurrently
        "answer": result.output,
    }


def tool_loop() -> dict:
    return loop(COMPARE, strict=True)


def parallel_calls() -> dict:
    return loop(BOTH, strict=False)


def structured_output() -> dict:
    return Agent(model(), output_type=NativeOutput(City)).run_sync(DESCRIBE).output.model_dump()


def structured_by_call() -> dict:
    agent = Agent(model(), output_type=ToolOutput(City, name="City"))
    return agent.run_sync(DESCRIBE_BY_CALL).output.model_dump()


def reasoning() -> dict:
    async def streamed() -> list[ModelMessage]:
        async with Agent(model()).run_stream(HELLO) as result:
            await result.get_output()
            return result.all_messages()

    whole = Agent(model()).run_sync(HELLO).all_messages()
    return {"whole": reasoning_text(whole), "streamed": reasoning_text(asyncio.run(streamed()))}


def reasoning_text(messages: list[ModelMessage]) -> str:
    return "".join(part.content for part in messages[-1].parts if isinstance(part, ThinkingPart))


report(ask, pieces, tool_loop, parallel_calls, structured_output, structured_by_call, reasoning)

"""Pydantic AI, with its model for each API: chat completions, responses, messages."""

import asyncio

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, ModelResponse, NativeOutput, ThinkingPart, Tool, ToolOutput
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.profiles.anthropic import AnthropicModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from scenarios import (
    API,
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


def model(case: Ask = PLAIN) -> Model:
    """A new model: its client is bound to the event loop that it is first used on."""
    options = {"api_key": case.key, "max_retries": case.retries}
    settings = {"top_p": case.top_p}
    if API == "messages":
        client = AsyncAnthropic(base_url=case.anthropic_url, **options)
        provider = AnthropicProvider(anthropic_client=client)
        holds_schemas = AnthropicModelProfile(supports_json_schema_output=True)
        return AnthropicModel(
            case.model, provider=provider, profile=holds_schemas, settings=settings
        )
    provider = OpenAIProvider(openai_client=AsyncOpenAI(base_url=case.url, **options))
    model_class = OpenAIChatModel if API == "chat" else OpenAIResponsesModel
    return model_class(case.model, provider=provider, settings=settings)


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
    thoughts = [part for part in messages[-1].parts if isinstance(part, ThinkingPart)]
    if API == "responses":  # there, `content` has the summary
        return "".join(text for part in thoughts for text in part.provider_details["raw_content"])
    return "".join(part.content for part in thoughts)


report(ask, pieces, tool_loop, parallel_calls, structured_output, structured_by_call, reasoning)

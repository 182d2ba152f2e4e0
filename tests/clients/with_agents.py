"""OpenAI's Agents SDK: by default with the Responses API, or with its chat completions model."""

import asyncio
from typing import Any

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    RunResult,
    function_tool,
    set_default_openai_client,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent
from pydantic import BaseModel
from scenarios import (
    API,
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

set_tracing_disabled(disabled=True)  # traces are sent to OpenAI


class City(BaseModel):
    name: str
    degrees: int


def agent(case: Ask, **options: Any) -> Agent:
    """A new agent: its client is bound to the event loop that it is first used on."""
    client = AsyncOpenAI(base_url=case.url, api_key=case.key, max_retries=case.retries)
    set_default_openai_client(client, use_for_tracing=False)
    return Agent(
        "Assistant",
        instructions="Be brief.",
        model=OpenAIChatCompletionsModel(case.model, client) if API == "chat" else case.model,
        model_settings=ModelSettings(top_p=case.top_p),
        **options,
    )


def ask(case: Ask) -> str:
    return Runner.run_sync(agent(case), case.text).final_output


def pieces(case: Ask) -> list[str]:
    async def streamed() -> list[str]:
        events = Runner.run_streamed(agent(case), case.text).stream_events()
        raw = [event.data async for event in events if event.type == "raw_response_event"]
        return [data.delta for data in raw if isinstance(data, ResponseTextDeltaEvent)]

    return asyncio.run(streamed())


def loop(question: str, *, strict: bool, **options: Any) -> dict:
    tool = function_tool(get_weather, strict_mode=strict)
    result = Runner.run_sync(agent(PLAIN, tools=[tool]), question, **options)
    return {
        "turns": len(result.raw_responses),
        "ran": sorted(cities_queried, reverse=True),  # calls of one turn run concurrently
        "answer": result.final_output,
    }


def tool_loop() -> dict:
    return loop(COMPARE, strict=True)


def parallel_calls() -> dict:
    return loop(BOTH, strict=False)


def stored_tool_loop() -> dict:
    return loop(COMPARE, strict=True, auto_previous_response_id=True)


def structured_output() -> dict:
    return Runner.run_sync(agent(PLAIN, output_type=City), DESCRIBE).final_output.model_dump()


def reasoning() -> dict:
    async def streamed() -> RunResult:
        result = Runner.run_streamed(agent(PLAIN), HELLO)
        async for _ in result.stream_events():
            pass
        return result

    whole = Runner.run_sync(agent(PLAIN), HELLO)
    return {"whole": reasoning_text(whole), "streamed": reasoning_text(asyncio.run(streamed()))}


def reasoning_text(result: RunResult) -> str:
    (item,) = (item for item in result.new_items if item.type == "reasoning_item")
    parts = item.raw_item.summary if API == "chat" else item.raw_item.content
    return "".join(part.text for part in parts)


by_responses = () if API == "chat" else (stored_tool_loop,)
report(ask, pieces, tool_loop, parallel_calls, structured_output, reasoning, *by_responses)

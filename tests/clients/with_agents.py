"""OpenAI's Agents SDK, with its chat completions model."""

import asyncio
from typing import Any

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    RunResult,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent
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

set_tracing_disabled(disabled=True)  # traces are sent to OpenAI


class City(BaseModel):
    name: str
    degrees: int


def agent(case: Ask, **options: Any) -> Agent:
    """A new agent: its client is bound to the event loop that it is first used on."""
    client = AsyncOpenAI(base_url=case.url, api_key=case.key, max_retries=case.retries)
    return Agent(
        "Assistant",
        instructions="Be brief.",
        model=OpenAIChatCompletionsModel(case.model, client),
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


def loop(question: str, *, strict: bool) -> dict:
    tool = function_tool(get_weather, strict_mode=strict)
    result = Runner.run_sync(agent(PLAIN, tools=[tool]), question)
    return {
        "turns": len(result.raw_responses),
        "ran": sorted(cities_queried, reverse=True),  # calls of one turn run concurrently
        "answer": result.final_output,
    }


def tool_loop() -> dict:
    return loop(COMPARE, strict=True)


def parallel_calls() -> dict:
    return loop(BOTH, strict=False)


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
    return "".join(summary.text for summary in item.raw_item.summary)


report(ask, pieces, tool_loop, parallel_calls, structured_output, reasoning)

"""OpenAI's Agents SDK, through its model for chat completions."""

import asyncio

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

set_tracing_disabled(disabled=True)  # traces go to OpenAI
model = OpenAIChatCompletionsModel(MODEL, AsyncOpenAI(base_url=URL, api_key=KEY))
greeter = Agent("Greeter", instructions="Be brief.", model=model)


class City(BaseModel):
    name: str
    degrees: int


def chat() -> str:
    return Runner.run_sync(greeter, HELLO).final_output


def stream() -> dict:
    async def pieces() -> list[str]:
        events = Runner.run_streamed(greeter, HELLO).stream_events()
        raw = [e.data async for e in events if e.type == "raw_response_event"]
        return [data.delta for data in raw if isinstance(data, ResponseTextDeltaEvent)]

    got = asyncio.run(pieces())
    return {"text": "".join(got), "in pieces": len(got) > 1}


def loop(question: str, *, strict: bool) -> dict:
    tool = function_tool(get_weather, strict_mode=strict)
    agent = Agent("Forecaster", instructions="Be brief.", model=model, tools=[tool])
    result = Runner.run_sync(agent, question)
    return {
        "turns": len(result.raw_responses),
        "ran": sorted(asked_for, reverse=True),  # those of one turn run side by side
        "answer": result.final_output,
    }


def tool_loop() -> dict:
    return loop(COMPARE, strict=True)


def parallel_calls() -> dict:
    return loop(BOTH, strict=False)


def structured_output() -> dict:
    agent = Agent("Describer", model=model, output_type=City)
    return Runner.run_sync(agent, DESCRIBE).final_output.model_dump()


def reasoning() -> dict:
    async def streamed() -> RunResult:
        result = Runner.run_streamed(greeter, HELLO)
        async for _ in result.stream_events():
            pass
        return result

    whole = Runner.run_sync(greeter, HELLO)
    return {"whole": shown(whole), "streamed": shown(asyncio.run(streamed()))}


def shown(result: RunResult) -> str:
    (item,) = (item for item in result.new_items if item.type == "reasoning_item")
    return "".join(summary.text for summary in item.raw_item.summary)


def ask(case: Ask, retries: int = 0) -> str:
    client = AsyncOpenAI(base_url=case.url, api_key=case.key, max_retries=retries)
    agent = Agent(
        "Asker",
        model=OpenAIChatCompletionsModel(case.model, client),
        model_settings=ModelSettings(temperature=case.temperature),
    )
    return Runner.run_sync(agent, case.text).final_output


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

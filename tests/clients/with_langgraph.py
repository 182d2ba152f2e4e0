"""LangGraph's prebuilt agent, as LangChain's `create_agent` builds it."""

from typing import Any

from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from scenarios import (
    BOTH,
    COMPARE,
    DESCRIBE,
    DESCRIBE_BY_CALL,
    PLAIN,
    Ask,
    cities_queried,
    get_weather,
    report,
)


class City(BaseModel):
    """A city."""

    name: str
    degrees: int


def prompt(text: str) -> dict:
    return {"messages": [{"role": "user", "content": text}]}


def agent(case: Ask = PLAIN, **options: Any) -> Any:
    model = ChatOpenAI(
        base_url=case.url,
        api_key=case.key,
        model=case.model,
        top_p=case.top_p,
        max_retries=case.retries,
    )
    return create_agent(model, system_prompt="Be brief.", **options)


def ask(case: Ask) -> str:
    return agent(case).invoke(prompt(case.text))["messages"][-1].content


def pieces(case: Ask) -> list[str]:
    chunks = agent(case).stream(prompt(case.text), stream_mode="messages")
    return [chunk.content for chunk, _ in chunks if chunk.content]


def loop(question: str) -> dict:
    messages = agent(tools=[get_weather]).invoke(prompt(question))["messages"]
    return {
        "turns": sum(isinstance(message, AIMessage) for message in messages),
        "ran": sorted(cities_queried, reverse=True),  # calls of one turn run concurrently
        "answer": messages[-1].content,
    }


def tool_loop() -> dict:
    return loop(COMPARE)


def parallel_calls() -> dict:
    return loop(BOTH)


def structured_output() -> dict:
    describer = agent(response_format=ProviderStrategy(City))
    return describer.invoke(prompt(DESCRIBE))["structured_response"].model_dump()


def structured_by_call() -> dict:
    describer = agent(tools=[get_weather], response_format=ToolStrategy(City))
    return describer.invoke(prompt(DESCRIBE_BY_CALL))["structured_response"].model_dump()


report(ask, pieces, tool_loop, parallel_calls, structured_output, structured_by_call)

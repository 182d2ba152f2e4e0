"""LangGraph's ready-made agent, as LangChain's `create_agent` builds it."""

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

model = ChatOpenAI(base_url=URL, api_key=KEY, model=MODEL)


class City(BaseModel):
    """A city."""

    name: str
    degrees: int


def said(text: str) -> dict:
    return {"messages": [{"role": "user", "content": text}]}


def agent(**options: Any) -> Any:
    return create_agent(model, system_prompt="Be brief.", **options)


def chat() -> str:
    return agent().invoke(said(HELLO))["messages"][-1].content


def stream() -> dict:
    chunks = agent().stream(said(HELLO), stream_mode="messages")
    pieces = [chunk.content for chunk, _ in chunks if chunk.content]
    return {"text": "".join(pieces), "in pieces": len(pieces) > 1}


def loop(question: str) -> dict:
    messages = agent(tools=[get_weather]).invoke(said(question))["messages"]
    return {
        "turns": sum(isinstance(message, AIMessage) for message in messages),
        "ran": sorted(asked_for, reverse=True),  # those of one turn run side by side
        "answer": messages[-1].content,
    }


def tool_loop() -> dict:
    return loop(COMPARE)


def parallel_calls() -> dict:
    return loop(BOTH)


def structured_output() -> dict:
    describer = agent(response_format=ProviderStrategy(City))
    return describer.invoke(said(DESCRIBE))["structured_response"].model_dump()


def structured_by_call() -> dict:
    describer = agent(tools=[get_weather], response_format=ToolStrategy(City))
    return describer.invoke(said(DESCRIBE_BY_CALL))["structured_response"].model_dump()


def ask(case: Ask, retries: int = 0) -> str:
    other = ChatOpenAI(
        base_url=case.url,
        api_key=case.key,
        model=case.model,
        temperature=case.temperature,
        max_retries=retries,
    )
    return create_agent(other).invoke(said(case.text))["messages"][-1].content


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
    its_errors,
    its_waiting,
)

"""LangChain's chat models, without an agent: for OpenAI by either API, and for Anthropic."""

from collections.abc import Callable
from functools import reduce
from operator import add

from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
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

weather = tool(get_weather)


class City(BaseModel):
    """A city."""

    name: str
    degrees: int


def prompt(text: str) -> list[BaseMessage]:
    return [SystemMessage("Be brief."), HumanMessage(text)]


def model(case: Ask = PLAIN) -> BaseChatModel:
    options = {
        "api_key": case.key,
        "model": case.model,
        "top_p": case.top_p,
        "max_retries": case.retries,
    }
    if API == "messages":
        return ChatAnthropic(base_url=case.anthropic_url, max_tokens=1000, **options)
    return ChatOpenAI(base_url=case.url, use_responses_api=API == "responses", **options)


def ask(case: Ask) -> str:
    return model(case).invoke(prompt(case.text)).text


def pieces(case: Ask) -> list[str]:
    usage = {"stream_usage": True} if API == "chat" else {}
    chunks = model(case).stream(prompt(case.text), **usage)
    return [chunk.text for chunk in chunks if chunk.text]


def loop(question: str, turn: Callable[[list[BaseMessage]], AIMessage]) -> dict:
    messages = prompt(question)
    turns = [turn(messages)]
    while turns[-1].tool_calls:
        messages += [turns[-1], *(weather.invoke(call) for call in turns[-1].tool_calls)]
        turns.append(turn(messages))
    return {"turns": len(turns), "ran": list(cities_queried), "answer": turns[-1].text}


def whole_turn(messages: list[BaseMessage]) -> AIMessage:
    return model().bind_tools([weather]).invoke(messages)


def streamed_turn(messages: list[BaseMessage]) -> AIMessage:
    return reduce(add, model().bind_tools([weather]).stream(messages))


def tool_loop() -> dict:
    return loop(COMPARE, whole_turn)


def streamed_tool_loop() -> dict:
    return loop(COMPARE, streamed_turn)


def parallel_calls() -> dict:
    return loop(BOTH, whole_turn)


def structured_output() -> dict:
    return (
        model()
        .with_structured_output(City, method="json_schema")
        .invoke(prompt(DESCRIBE))
        .model_dump()
    )


def structured_by_call() -> dict:
    calling = model().with_structured_output(City, method="function_calling")
    return calling.invoke(prompt(DESCRIBE_BY_CALL)).model_dump()


def json_mode() -> dict:
    describer = model().with_structured_output(City, method="json_mode")
    return describer.invoke(prompt(DESCRIBE)).model_dump()


def reasoning() -> dict:
    """ChatOpenAI shows summaries alone: gpt-oss's own text is in what it sends back."""
    whole = model().invoke(prompt(HELLO))
    streamed = "".join(reasoning_text(chunk) for chunk in model().stream(prompt(HELLO)))
    return {"whole": reasoning_text(whole), "streamed": streamed}


def reasoning_text(message: AIMessage) -> str:
    return "".join(
        block.get("reasoning", "")
        for block in message.content_blocks
        if block["type"] == "reasoning"
    )


report(
    ask,
    pieces,
    tool_loop,
    streamed_tool_loop,
    parallel_calls,
    structured_output,
    structured_by_call,
    reasoning,
    *(() if API == "messages" else (json_mode,)),  # Anthropic's API has none
)

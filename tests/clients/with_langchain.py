"""LangChain's chat model for OpenAI, without an agent."""

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
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

weather = tool(get_weather)


class City(BaseModel):
    """A city."""

    name: str
    degrees: int


def prompt(text: str) -> list[BaseMessage]:
    return [SystemMessage("Be brief."), HumanMessage(text)]


def model(case: Ask = PLAIN) -> ChatOpenAI:
    return ChatOpenAI(
        base_url=case.url,
        api_key=case.key,
        model=case.model,
        top_p=case.top_p,
        max_retries=case.retries,
    )


def ask(case: Ask) -> str:
    return model(case).invoke(prompt(case.text)).content


def pieces(case: Ask) -> list[str]:
    chunks = model(case).stream(prompt(case.text), stream_usage=True)
    return [chunk.content for chunk in chunks if chunk.content]


def loop(question: str) -> dict:
    messages = prompt(question)
    turns: list[AIMessage] = [model().bind_tools([weather]).invoke(messages)]
    while turns[-1].tool_calls:
        messages += [turns[-1], *(weather.invoke(call) for call in turns[-1].tool_calls)]
        turns.append(model().bind_tools([weather]).invoke(messages))
    return {"turns": len(turns), "ran": list(cities_queried), "answer": turns[-1].content}


def tool_loop() -> dict:
    return loop(COMPARE)


def parallel_calls() -> dict:
    return loop(BOTH)


def structured_output() -> dict:
    return model().with_structured_output(City).invoke(prompt(DESCRIBE)).model_dump()


def structured_by_call() -> dict:
    calling = model().with_structured_output(City, method="function_calling")
    return calling.invoke(prompt(DESCRIBE_BY_CALL)).model_dump()


def json_mode() -> dict:
    describer = model().with_structured_output(City, method="json_mode")
    return describer.invoke(prompt(DESCRIBE)).model_dump()


def reasoning() -> dict:
    """ChatOpenAI reads reasoning only from OpenAI's Responses API."""
    whole = model().invoke(prompt(HELLO))
    streamed = "".join(reasoning_text(chunk) for chunk in model().stream(prompt(HELLO)))
    return {"whole": reasoning_text(whole), "streamed": streamed}


def reasoning_text(message: AIMessage) -> str:
    return "".join(
        block["reasoning"] for block in message.content_blocks if block["type"] == "reasoning"
    )


report(
    ask,
    pieces,
    tool_loop,
    parallel_calls,
    structured_output,
    structured_by_call,
    json_mode,
    reasoning,
)

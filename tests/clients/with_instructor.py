"""Instructor, around OpenAI's client: objects as answers, by each of its modes."""

from collections.abc import Iterable

import instructor
from instructor import Mode
from openai import OpenAI
from pydantic import BaseModel
from scenarios import (
    BOTH,
    DESCRIBE,
    DESCRIBE_BY_CALL,
    HELLO,
    KEY,
    MODEL,
    URL,
    Ask,
    errors,
    report,
    waits,
)


class City(BaseModel):
    name: str
    degrees: int


class get_weather(BaseModel):  # noqa: N801 - a tool's name
    """The weather in a city."""

    city: str


def client(mode: Mode, url: str = URL, key: str = KEY, retries: int = 0) -> instructor.Instructor:
    return instructor.from_openai(OpenAI(base_url=url, api_key=key, max_retries=retries), mode=mode)


def said(text: str) -> dict:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}]}


def chat() -> str:
    answer = client(Mode.TOOLS).create(response_model=None, **said(HELLO))
    return answer.choices[0].message.content


def stream() -> dict:
    """Of an object, as it grows."""
    parts = client(Mode.TOOLS).create_partial(response_model=City, **said(DESCRIBE_BY_CALL))
    states = [part.model_dump() for part in parts]
    return {"object": states[-1], "in pieces": len(states) > 1}


def parallel_calls() -> list:
    calls = client(Mode.PARALLEL_TOOLS).create(response_model=Iterable[get_weather], **said(BOTH))
    return [call.city for call in calls]


def structured_output() -> dict:
    return client(Mode.JSON_SCHEMA).create(response_model=City, **said(DESCRIBE)).model_dump()


def json_mode() -> dict:
    return client(Mode.JSON).create(response_model=City, **said(DESCRIBE)).model_dump()


def structured_by_call() -> dict:
    city = client(Mode.TOOLS).create(response_model=City, **said(DESCRIBE_BY_CALL))
    return city.model_dump()


def reasoning() -> dict:
    """Of the raw answer, which comes with the object."""
    _, raw = client(Mode.JSON_SCHEMA).create_with_completion(response_model=City, **said(DESCRIBE))
    return {"whole": raw.choices[0].message.reasoning}


def ask(case: Ask, retries: int = 0) -> str:
    other = client(Mode.TOOLS, case.url, case.key, retries)
    request = {**said(case.text), "model": case.model, "temperature": case.temperature}
    return other.create(response_model=None, **request).choices[0].message.content


def its_errors() -> dict:
    return errors(ask)


def its_waiting() -> dict:
    return waits(lambda case: ask(case, retries=2))


report(
    chat,
    stream,
    parallel_calls,
    structured_output,
    structured_by_call,
    json_mode,
    reasoning,
    its_errors,
    its_waiting,
)

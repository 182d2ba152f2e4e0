"""Instructor, wrapped around OpenAI's client: objects as answers, in each of its modes."""

from collections.abc import Iterable

import instructor
from instructor import Mode
from openai import OpenAI
from pydantic import BaseModel
from scenarios import (
    BOTH,
    DESCRIBE,
    DESCRIBE_BY_CALL,
    MODEL,
    PLAIN,
    Ask,
    report,
)


class City(BaseModel):
    name: str
    degrees: int


class get_weather(BaseModel):  # noqa: N801 - the tool's name
    """The weather in a city."""

    city: str


def client(mode: Mode, case: Ask = PLAIN) -> instructor.Instructor:
    inner = OpenAI(base_url=case.url, api_key=case.key, max_retries=case.retries)
    return instructor.from_openai(inner, mode=mode)


def prompt(text: str) -> dict:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}]}


def ask(case: Ask) -> str:
    request = {**prompt(case.text), "model": case.model, "top_p": case.top_p}
    answer = client(Mode.TOOLS, case).create(response_model=None, **request)
    return answer.choices[0].message.content


def pieces(case: Ask) -> list[str]:
    chunks = client(Mode.TOOLS, case).create(response_model=None, stream=True, **prompt(case.text))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    return [delta.content for delta in deltas if delta.content]


def growing_object() -> dict:
    parts = client(Mode.JSON_SCHEMA).create_partial(response_model=City, **prompt(DESCRIBE))
    states = [part.model_dump() for part in parts]
    return {"object": states[-1], "in pieces": len(states) > 1}


def parallel_calls() -> list:
    calls = client(Mode.PARALLEL_TOOLS).create(response_model=Iterable[get_weather], **prompt(BOTH))
    return [call.city for call in calls]


def structured_output() -> dict:
    return client(Mode.JSON_SCHEMA).create(response_model=City, **prompt(DESCRIBE)).model_dump()


def json_mode() -> dict:
    return client(Mode.JSON).create(response_model=City, **prompt(DESCRIBE)).model_dump()


def structured_by_call() -> dict:
    city = client(Mode.TOOLS).create(response_model=City, **prompt(DESCRIBE_BY_CALL))
    return city.model_dump()


def reasoning() -> dict:
    """The reasoning of the raw answer, which is returned with the object."""
    inner = client(Mode.JSON_SCHEMA)
    _, raw = inner.create_with_completion(response_model=City, **prompt(DESCRIBE))
    return {"whole": raw.choices[0].message.reasoning}


report(
    ask,
    pieces,
    growing_object,
    parallel_calls,
    structured_output,
    json_mode,
    structured_by_call,
    reasoning,
)

"""Answers near and above the 1 MB of a chunk, through the emulator, which enforces that limit.

The worker is the project's own, with RunPod's SDK; the engine is scripted, so that an answer of
300,000 characters takes a second.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from emulator.worker_api import CHUNK_LIMIT
from tests.support.emulation import Emulation, emulation, refused, streamed
from tests.support.paced_worker import SCRIPTS

PACED_WORKER = (sys.executable, "-m", "tests.support.paced_worker")


@pytest.fixture(scope="module")
def plane() -> Iterator[Emulation]:
    paced = {"MODEL": "demo", "PACE_MS": "0", "STEP_TOKENS": "2000"}
    with emulation(1, PACED_WORKER, POLL_SECONDS="1", **paced) as running:
        running.ready(1)
        yield running


@pytest.fixture
def client(plane: Emulation) -> Iterator[openai.OpenAI]:
    url = f"{plane.endpoint_url}/openai/v1"
    with openai.OpenAI(base_url=url, api_key="any", max_retries=0) as opened:
        yield opened


def text_of(script: str) -> str:
    return SCRIPTS[script].partition("<|message|>")[2].removesuffix("<|return|>")


def sizes(job: dict[str, Any]) -> list[int]:
    return [chunk["size"] for chunk in job["attempts"][0]["chunks"]]


def events(job: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects of a job's server-sent events."""
    lines = "".join(streamed(job)).splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def test_a_response_of_300000_characters_survives_the_queue(
    plane: Emulation, client: openai.OpenAI
) -> None:
    """Whole in openai-python's stream helper; no chunk is refused."""
    with client.responses.stream(model="demo", input="long") as stream:
        response = stream.get_final_response()
    assert response.output_text == text_of("long")
    job = plane.ended(plane.last_job()["id"])
    assert job["state"] == "COMPLETED"
    assert refused(job) == []
    assert streamed(job) == job["output"]
    assert 300_000 < max(sizes(job)) <= CHUNK_LIMIT


def test_events_that_only_repeat_leave_out_what_does_not_fit(
    plane: Emulation, client: openai.OpenAI
) -> None:
    """12,000 tokens with their log probabilities, which only the deltas have."""
    stream = client.responses.create(
        model="demo",
        input="long",
        include=["message.output_text.logprobs"],
        max_output_tokens=12_000,
        stream=True,
    )
    told, text, last = 0, "", None
    for event in stream:
        if event.type == "response.output_text.delta":
            told += len(event.logprobs)
            text += event.delta
        last = event
    assert last is not None
    assert last.type == "response.incomplete"
    assert last.response.output_text == text
    assert told > 11_900
    message: Any = last.response.output[0]
    assert message.content[0].logprobs == []
    job = plane.ended(plane.last_job()["id"])
    assert job["state"] == "COMPLETED"
    numbers = [event["sequence_number"] for event in events(job)]
    assert numbers == list(range(len(numbers)))
    assert max(sizes(job)) <= CHUNK_LIMIT


def test_a_response_that_cannot_be_delivered_fails_in_its_stream(
    plane: Emulation, client: openai.OpenAI
) -> None:
    """Its text alone is larger than a chunk: the client gets the error, and so does the job."""
    stream = client.responses.create(model="demo", input="vast", stream=True)
    with pytest.raises(openai.APIError, match="exceeds the size limit of RunPod's queue"):
        list(stream)
    job = plane.ended(plane.last_job()["id"])
    assert job["state"] == "FAILED"
    assert json.loads(job["error"])["code"] == "answer_too_large"
    assert events(job)[-1]["type"] == "response.failed"
    assert events(job)[-1]["response"]["error"]["code"] == "invalid_prompt"
    assert max(sizes(job)) <= CHUNK_LIMIT


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "vast"}]}),
        ("/v1/responses", {"input": "vast"}),
        (
            "/v1/messages",
            {"messages": [{"role": "user", "content": "vast"}], "max_tokens": 100_000},
        ),
    ],
)
def test_a_whole_answer_larger_than_a_chunk_is_in_the_result(
    plane: Emulation, route: str, body: dict[str, Any]
) -> None:
    """It is no stream: its clients read the result."""
    job = plane.ended(plane.submit({"openai_route": route, "openai_input": body}))
    assert job["state"] == "COMPLETED"
    assert streamed(job) == []
    assert json.dumps(text_of("vast")) in json.dumps(job["output"])


@pytest.mark.parametrize("route", ["/v1/chat/completions", "/v1/messages"])
def test_a_stream_of_deltas_is_split(plane: Emulation, route: str) -> None:
    """The other APIs repeat nothing at their end."""
    asked = {"messages": [{"role": "user", "content": "vast"}], "max_tokens": 100_000}
    job_input = {"openai_route": route, "openai_input": {**asked, "stream": True}}
    job = plane.ended(plane.submit(job_input))
    assert job["state"] == "COMPLETED"
    assert max(sizes(job)) <= CHUNK_LIMIT
    parts = [
        (event["choices"][0]["delta"].get("content") if event["choices"] else "")
        if route.endswith("completions")
        else event.get("delta", {}).get("text")
        for event in events(job)
    ]
    assert "".join(part or "" for part in parts) == text_of("vast")

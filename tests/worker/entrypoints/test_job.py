"""RunPod jobs: the forms of their input, and what they yield; through the SDK's own generator."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runpod.serverless.modules.rp_job import run_job_generator

from tests.support.scripted_engine import ScriptedEngine, tokens
from worker.api.routes import ROUTES, route_for
from worker.entrypoints.job import JobInput, read
from worker.entrypoints.queue import handler_of
from worker.errors import BadRequest, EngineDead
from worker.generation import Step
from worker.model import Model
from worker.service import Service
from worker.settings import Settings

CHAT = "/v1/chat/completions"
UNKNOWN = (
    "Unknown route: '/v1/nope'. The routes are "
    f"{', '.join(f'{route.method} {route.label}' for route in ROUTES)}."
)
HELLO = [{"role": "user", "content": "Hello"}]
ANSWER = tokens("<|channel|>final<|message|>Hi there<|return|>")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
FIELDS = st.sampled_from(
    [
        "openai_route",
        "openai_input",
        "messages",
        "prompt",
        "input",
        "sampling_params",
        "stream",
        "tools",
        "n",
    ]
)


async def yielded(job_input: Any) -> list[Any]:
    """What RunPod's SDK gets of the handler for a job with this input."""
    engine = ScriptedEngine(ANSWER)
    await engine.start()
    model = Model(path="x", names=("demo",), context_length=4096)
    handler = handler_of(Service(engine, model, Settings()))
    job = {"id": "job-1", "input": job_input}
    return [output async for output in run_job_generator(handler, job)]


def outputs(job_input: Any) -> list[Any]:
    return [item["output"] for item in asyncio.run(yielded(job_input))]


def error(job_input: Any) -> dict[str, Any]:
    """The error object of a job that must fail with one output."""
    (output,) = outputs(job_input)
    assert output.keys() == {"error"}
    return json.loads(output["error"])


def test_form_1_is_what_the_openai_url_sends() -> None:
    """A route and the request's body."""
    body = {"messages": HELLO}
    form = {"openai_route": "/v1/chat/completions", "openai_input": body}
    assert read(form) == JobInput(route_for("/v1/chat/completions"), body)
    (answer,) = outputs(form)
    assert answer["object"] == "chat.completion"


def test_form_1_of_a_get_has_no_input() -> None:
    """The models are listed with an empty or an absent one."""
    assert read({"openai_route": "/v1/models"}).body == {}
    assert outputs({"openai_route": "/v1/models", "openai_input": None})[0]["object"] == "list"


def test_form_2_has_the_fields_of_a_chat_completion() -> None:
    """At the top of the input."""
    (completion,) = outputs({"messages": HELLO})
    assert completion["choices"][0]["message"]["content"] == "Hi there"


def test_form_2_takes_the_peers_sampling_params() -> None:
    """Under their names; a field at the top wins."""
    job = read(
        {"messages": HELLO, "sampling_params": {"max_new_tokens": 3, "top_p": 1}, "top_p": 0.5}
    )
    assert job.body == {"messages": HELLO, "max_new_tokens": 3, "top_p": 0.5}


def test_form_2_takes_the_defaults_of_the_peers() -> None:
    """All that their documents list, as a script sends them."""
    params = {
        "n": 1, "best_of": 1, "presence_penalty": 0.0, "frequency_penalty": 0.0,
        "repetition_penalty": 1.0, "temperature": 0.7, "top_p": 0.95, "top_k": -1, "min_p": 0.0,
        "use_beam_search": False, "length_penalty": 1.0, "early_stopping": False, "stop": None,
        "stop_token_ids": None, "ignore_eos": False, "max_tokens": 100, "min_tokens": 0,
        "skip_special_tokens": True, "spaces_between_special_tokens": True,
    }  # fmt: skip
    for form in ({"messages": HELLO}, {"prompt": "Once"}):
        (answer,) = outputs({**form, "sampling_params": params})
        assert answer["choices"][0]["finish_reason"] == "stop"


def test_a_field_at_the_top_wins_by_any_of_its_names() -> None:
    """So nothing contradicts it."""
    job = read({"messages": HELLO, "sampling_params": {"max_new_tokens": 3}, "max_tokens": 5})
    assert job.body == {"messages": HELLO, "max_tokens": 5}


def test_form_3_is_a_text_completion() -> None:
    """Which is told apart by its prompt; it has the peers' default of tokens, 128."""
    assert read({"prompt": "Once"}) == JobInput(
        route_for("/v1/completions"), {"prompt": "Once", "max_tokens": 128}
    )
    assert "max_tokens" not in read({"prompt": "Once", "max_new_tokens": 7}).body


def test_form_4_is_a_responses_request() -> None:
    """Which is told apart by its `input`; its events are objects."""
    job = read({"input": "Hello", "sampling_params": {"top_k": 5}})
    assert job == JobInput(route_for("/v1/responses"), {"input": "Hello", "top_k": 5})
    (response,) = outputs({"input": "Hello"})
    assert response["output"][0]["content"][0]["text"] == "Hi there"
    events = outputs({"input": "Hello", "stream": True})
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Hi there"
    assert read({"input": "Hello", "messages": HELLO}).route.label == "/v1/chat/completions"


def test_a_responses_stream_of_form_1_has_named_events() -> None:
    """And ends in [DONE]."""
    body = {"input": "Hello", "stream": True}
    text = "".join(outputs({"openai_route": "/v1/responses", "openai_input": body}))
    assert text.startswith("event: response.created\ndata: {")
    assert text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("as_events", [True, False])
def test_a_responses_stream_that_fails_says_so_in_its_own_events(
    monkeypatch: pytest.MonkeyPatch, as_events: bool
) -> None:
    """The error and the failed response, as events or as objects; then the job fails."""

    async def die(*_: Any) -> AsyncGenerator[Step]:
        yield Step(ANSWER[:4])
        raise EngineDead

    monkeypatch.setattr(ScriptedEngine, "generate", die)
    body = {"input": "Hello", "stream": True}
    form = {"openai_route": "/v1/responses", "openai_input": body} if as_events else body
    *sent, failure = outputs(form)
    assert json.loads(failure["error"])["code"] == "engine_dead"
    if as_events:
        kinds = re.findall("event: (.*)", "".join(sent))
    else:
        kinds = [event["type"] for event in sent]
    assert kinds[-2:] == ["error", "response.failed"]


def test_a_prompt_for_the_chat_template_is_a_chat() -> None:
    """It is a user's message."""
    job = read({"prompt": "Hello", "apply_chat_template": True})
    assert (job.route.label, job.body["messages"]) == ("/v1/chat/completions", HELLO)
    (answer,) = outputs({"prompt": "Hello", "apply_chat_template": True})
    assert answer["choices"][0]["message"]["content"] == "Hi there"
    assert read({"prompt": "Hello", "apply_chat_template": False}).route.label == "/v1/completions"


def test_a_route_with_a_method_and_a_body_is_form_1() -> None:
    """Under other names."""
    body = {"messages": HELLO, "stream": True}
    form = {"route": "/v1/chat/completions", "method": "POST", "body": body}
    assert read(form) == JobInput(route_for("/v1/chat/completions"), body)
    assert outputs(form)[-1].endswith("data: [DONE]\n\n")
    assert outputs({"route": "/v1/models", "method": "GET"})[0]["object"] == "list"


@pytest.mark.parametrize(
    ("route", "method", "message"),
    [
        (CHAT, "GET", f"{CHAT} does not support the method GET; use POST."),
        (f"/openai{CHAT}", "put", f"{CHAT} does not support the method put; use POST."),
        ("/v1/models", "POST", "/v1/models does not support the method POST; use GET."),
        ("/v1/models/x", "DELETE", "/v1/models/x does not support the method DELETE; use GET."),
        (CHAT, 5, "method must be a string, not a number."),
        ("/v1/nope", "GET", UNKNOWN),
    ],
)
def test_a_method_that_a_route_does_not_take_is_an_error(
    route: str, method: Any, message: str
) -> None:
    """As HTTP's 405; without one, and in any case, it is the route's own."""
    body = {"messages": HELLO}
    assert error({"route": route, "method": method, "body": body})["message"] == message
    for fine in ("post", "POST", None):
        assert outputs({"route": CHAT, "method": fine, "body": body})[0]["choices"]


def test_a_limit_in_an_extra_body_is_a_limit() -> None:
    """The default of form 3 does not contradict it."""
    form = {"prompt": "Once", "extra_body": {"max_new_tokens": 1}}
    (answer,) = outputs(form)
    assert answer["usage"]["completion_tokens"] == 1


@pytest.mark.parametrize(
    "form",
    [
        {"messages": []},
        {"prompt": []},
        {"prompt": ["a"], "apply_chat_template": True},
        {"sampling_params": "x", "messages": HELLO},
    ],
)
def test_a_stream_of_objects_that_fails_ends_in_an_error_object(form: dict[str, Any]) -> None:
    """A streaming client reads it; then the job fails with the same object."""
    chunk, failure = outputs({**form, "stream": True})
    assert chunk["error"]["param"] == next(iter(form))
    assert json.loads(failure["error"]) == chunk["error"]


def test_a_route_that_cannot_be_read_fails_a_stream_as_events() -> None:
    """It is known that it streams."""
    event, failure = outputs({"openai_route": 5, "openai_input": {"stream": True}})
    shown = json.loads(event.removeprefix("data: "))["error"]
    assert json.loads(failure["error"]) == shown


def test_a_streamed_job_of_form_1_yields_whole_events() -> None:
    """And ends in [DONE]."""
    body = {"messages": HELLO, "stream": True}
    events = outputs({"openai_route": "/v1/chat/completions", "openai_input": body})
    assert all(e.startswith("data: ") and e.endswith("\n\n") for e in events)
    *each, done = "".join(events).removesuffix("\n\n").split("\n\n")
    assert done == "data: [DONE]"
    deltas = [json.loads(e.removeprefix("data: "))["choices"][0]["delta"] for e in each]
    assert "".join(d.get("content") or "" for d in deltas) == "Hi there"


def test_a_streamed_job_of_form_2_yields_chunks() -> None:
    """As objects."""
    chunks = outputs({"messages": HELLO, "stream": True})
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


@pytest.mark.parametrize("stream", [1, "true", None])
def test_only_true_asks_for_a_stream(stream: Any) -> None:
    """Any other value gets no event: no client waits for one."""
    body = {"messages": [], "stream": stream}
    (failure,) = outputs({"openai_route": "/v1/chat/completions", "openai_input": body})
    assert failure.keys() == {"error"}


def test_an_error_of_a_streamed_job_of_form_1_is_an_event_first() -> None:
    """A streaming client reads it; then the job fails with the same object."""
    body = {"messages": [], "stream": True}
    event, failure = outputs({"openai_route": "/v1/chat/completions", "openai_input": body})
    shown = json.loads(event.removeprefix("data: "))["error"]
    assert shown["param"] == "messages"
    assert json.loads(failure["error"]) == shown


@pytest.mark.parametrize(
    ("job_input", "message"),
    [
        (None, "input must be a JSON object, not null."),
        ("hi", "input must be a JSON object, not a string."),
        ([], "input must be a JSON object, not an array."),
        ({}, "input must have openai_route and openai_input, messages, prompt, or input."),
        ({"openai_route": 5}, "openai_route must be a string, not a number."),
        (
            {"messages": HELLO, "sampling_params": 1},
            "sampling_params must be an object, not a number.",
        ),
        ({"openai_route": "/v1/models/x"}, "The model 'x' does not exist. Available models: demo."),
        ({"openai_route": "/v1/nope"}, UNKNOWN),
        (
            {"openai_route": "/v1/chat/completions", "openai_input": [1]},
            "The request body must be a JSON object, not an array.",
        ),
    ],
)
def test_bad_input_is_a_failed_job_with_an_error_object(job_input: Any, message: str) -> None:
    """OpenAI's object as JSON text, and nothing else."""
    shown = error(job_input)
    assert shown["message"] == message
    assert shown.keys() == {"message", "type", "param", "code"}


def test_an_unforeseen_error_shows_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the traceback, the client has one sentence."""

    class BrokenEngine(ScriptedEngine):
        def generate(self, *_arguments: Any, **_named: Any) -> Any:
            raise RuntimeError("/secret/path")

    async def ask() -> list[Any]:
        model = Model(path="x", names=("demo",), context_length=4096)
        handler = handler_of(Service(BrokenEngine(ANSWER), model, Settings()))
        return [output async for output in handler({"id": "1", "input": {"messages": HELLO}})]

    (output,) = asyncio.run(ask())
    assert json.loads(output["error"])["message"] == "The worker failed to process this request."
    assert "/secret/path" in caplog.text


@settings(max_examples=300, deadline=None)
@given(JSON | st.dictionaries(FIELDS, JSON | st.just(HELLO)))
def test_any_json_value_is_read_or_refused(job_input: Any) -> None:
    """The job parser knows no third way."""
    with suppress(BadRequest):
        assert isinstance(read(job_input).route.label, str)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(FIELDS, JSON | st.just(HELLO)))
def test_any_job_is_answered(job_input: Any) -> None:
    """By objects, or by one error object: never by a traceback."""
    items = asyncio.run(yielded(job_input))
    assert items
    for item in items:
        assert item.keys() == {"output"}
    last = items[-1]["output"]
    if isinstance(last, dict) and last.get("error") is not None:  # a response has it as null
        assert isinstance(last["error"], str)
        assert json.loads(last["error"])["type"] in ("invalid_request_error", "server_error")
        assert "Traceback" not in last["error"]

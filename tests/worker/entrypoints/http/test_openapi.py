"""The OpenAPI document: what the worker reads, what it answers, and nothing else."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from builder.openapi import document
from tests.support.catalogue import CATALOGUE
from tests.support.http_server import CHAT, HELLO, GatedEngine, RunningServer, running
from tests.support.openapi import DOCUMENT, check, check_answer
from worker.entrypoints.http.app import HttpApi
from worker.harmony.vocabulary import RETURN
from worker.model import Model
from worker.service import Service
from worker.settings import Settings

TEXT = "/v1/completions"
MESSAGES = "/v1/messages"
HELLO_MESSAGE = {**HELLO, "max_tokens": 100}
RESPONSES = "/v1/responses"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running(max_body_mb=1) as server:
        yield server


def test_it_is_the_one_that_the_code_makes() -> None:
    """`python -m builder.openapi` writes it anew."""
    assert document.PLACE.read_text() == document.text()


def test_it_has_every_route_and_no_other() -> None:
    """With its methods, and the prefix where there may be one."""
    settings = Settings(model="demo")
    service = Service(GatedEngine(), Model("x", ("demo",), 100), settings)
    there = {
        (method, re.sub(":path", "", route.path))
        for route in HttpApi(service, settings)._routes()
        for method in route.methods or ()
        if method != "HEAD"  # comes with GET
    }
    written = {
        (method.upper(), server["url"].removesuffix("/") + path)
        for path, item in DOCUMENT["paths"].items()
        for server in item.get("servers", DOCUMENT["servers"])
        for method in item.keys() & {"get", "post", "put", "patch", "delete"}
    }
    assert there == written


def test_every_schema_is_one() -> None:
    """By JSON Schema 2020-12, which OpenAPI 3.1 takes; no reference leads nowhere."""
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for _, section, name in re.findall('"(#/components/(.*?)/(.*?))"', document.text()):
        assert name in DOCUMENT["components"][section]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (CHAT, {}),
        (CHAT, {"n": 2, "logprobs": True, "top_logprobs": 3}),
        (CHAT, {"max_tokens": 3}),
        (TEXT, {"n": 2, "prompt": ["a", "b"]}),
        (TEXT, {"logprobs": 2, "prompt": "a"}),
        (MESSAGES, {"max_tokens": 100}),
        (MESSAGES, {"max_tokens": 3}),
        (MESSAGES, {"max_tokens": 100, "stop_sequences": [" three"]}),
        (RESPONSES, {"input": "Hi"}),
        (RESPONSES, {"input": "Hi", "top_logprobs": 2, "max_output_tokens": 3}),
    ],
)
def test_answers_are_as_described(
    server: RunningServer, path: str, fields: dict[str, Any], stream: bool
) -> None:
    """Whole, and chunk by chunk."""
    body = {**(HELLO if path in (CHAT, MESSAGES) else {}), **fields, "stream": stream}
    usage = {"stream_options": {"include_usage": True}}
    for options in ({}, usage) if stream and path != MESSAGES else ({},):
        response = server.client.post(path, json={**body, **options})
        assert response.status_code == 200
        check_answer(path, response)


@pytest.mark.parametrize("stream", [True, False])
def test_answers_with_calls_are_as_described(stream: bool) -> None:
    """Of all that a model is known to say, well-formed or not."""
    engine = GatedEngine()
    with running(engine) as server:
        for case in CATALOGUE:
            engine.script = case.ids or [RETURN]
            body = {**HELLO, "stream": stream, "tools": case.openai_tools or None}
            check_answer(CHAT, server.client.post(CHAT, json=body))
            tools = [{"name": name, "input_schema": {}} for name in case.tools]
            body = {**HELLO_MESSAGE, "stream": stream, "tools": tools}
            check_answer(MESSAGES, server.client.post(MESSAGES, json=body))


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/models", None, 200),
        ("GET", "/metrics", None, 200),
        ("GET", "/health", None, 200),
        ("GET", "/ping", None, 200),
        ("POST", "/v1/responses", {"input": []}, 400),
        ("POST", "/v1/responses/input_tokens", {"input": "Hi"}, 200),
        ("POST", "/v1/responses/compact", {}, 400),
        ("POST", CHAT, {"messages": 5}, 400),
        ("POST", CHAT, {**HELLO, "model": "gpt-5"}, 404),
        ("POST", TEXT, {"prompt": "x" * 2**20}, 413),
        ("POST", f"{MESSAGES}/count_tokens", HELLO, 200),
        ("POST", f"{MESSAGES}/count_tokens", {"messages": 5}, 400),
        ("POST", MESSAGES, HELLO, 400),
        ("POST", MESSAGES, {**HELLO_MESSAGE, "thread": {"type": "create"}}, 400),
        ("POST", MESSAGES, {**HELLO_MESSAGE, "model": "gpt-5"}, 404),
        ("POST", MESSAGES, {"messages": "x" * 2**20}, 413),
    ],
)
def test_other_answers_are_as_described(
    server: RunningServer, method: str, path: str, body: Any, status: int
) -> None:
    """Errors among them."""
    response = server.client.request(method, path, json=body)
    assert response.status_code == status
    check_answer(path, response)


def test_before_the_engine_is_ready_answers_are_as_described() -> None:
    """And without a key."""
    with running(ready=False, api_key=("k",)) as server:
        for path in ("/ping", "/health", "/metrics", "/v1/models"):
            check_answer(path, server.client.get(path))
        bearer = {"authorization": "Bearer k"}
        check_answer(CHAT, server.client.post(CHAT, json=HELLO, headers=bearer))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("ChatRequest", {**HELLO, "stop": ["a", "b"], "tool_choice": "auto", "n": None}),
        (
            "ChatRequest",
            {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
        ),
        ("ChatRequest", {**HELLO, "reasoning_effort": "low", "logit_bias": {"5": 1}}),
        ("MessagesRequest", HELLO_MESSAGE),
        (
            "MessagesRequest",
            {
                **HELLO_MESSAGE,
                "system": [{"type": "text", "text": "Be kind.", "cache_control": None}],
                "thinking": {"type": "adaptive", "display": "omitted"},
                "output_config": {"effort": "max"},
                "tool_choice": {"type": "auto"},
                "tools": [{"name": "f", "input_schema": {"type": "object"}}],
            },
        ),
        (
            "MessagesRequest",
            {
                "max_tokens": 5,
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "thinking", "thinking": "", "signature": "x"},
                            {"type": "tool_use", "id": "1", "name": "f", "input": {}},
                        ],
                    },
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]},
                    {"role": "system", "content": "Now."},
                ],
            },
        ),
        ("CountRequest", HELLO),
        ("CompletionRequest", {"prompt": "a", "stop": "b"}),
        ("CompletionRequest", {"prompt": [[1, 2], [3]]}),
    ],
)
def test_what_is_described_is_taken(
    server: RunningServer, name: str, fields: dict[str, Any]
) -> None:
    """In every form that a field may have."""
    check({"$ref": f"#/components/schemas/{name}"}, fields)
    paths = {"ChatRequest": CHAT, "CompletionRequest": TEXT, "MessagesRequest": MESSAGES}
    path = paths.get(name, f"{MESSAGES}/count_tokens")
    assert server.client.post(path, json=fields).status_code == 200

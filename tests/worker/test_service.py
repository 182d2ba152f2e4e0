"""The service: routes, models, the context's length, and one way for streaming and not."""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import pytest

from tests.support.scripted_engine import ScriptedEngine, tokens
from worker.api.chat import render_prompt
from worker.api.routes import route_for
from worker.errors import BadRequest, ContextLengthExceeded, NotFound, WorkerError
from worker.harmony import render
from worker.harmony.conversation import Conversation, User
from worker.job_metrics import JobMetrics
from worker.model import Model
from worker.service import Service
from worker.settings import Settings

T = TypeVar("T")
ANSWER = tokens("<|channel|>final<|message|>one two three four five<|return|>")
CHAT = "/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


def service(engine: ScriptedEngine | None = None, **settings: Any) -> Service:
    model = Model(path="x", names=("demo", "gpt-oss"), context_length=200)
    return Service(engine or ScriptedEngine(ANSWER), model, Settings(**settings))


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def objects(of: Service, route: str, body: Any) -> list[dict[str, Any]]:
    await of.engine.start()
    async with aclosing((await of.read(route_for(route), body)).answer(JobMetrics())) as batches:
        return [item async for batch in batches for item in batch]


def answered(of: Service, route: str, body: Any) -> list[dict[str, Any]]:
    return run(objects(of, route, body))


def test_a_request_that_does_not_stream_is_answered_by_one_object() -> None:
    """The fold of the chunks."""
    (completion,) = answered(service(), CHAT, HELLO)
    assert completion["object"] == "chat.completion"
    assert completion["model"] == "demo"
    assert completion["choices"][0]["message"]["content"] == "one two three four five"


def test_a_streamed_request_is_answered_by_its_chunks() -> None:
    """One for the role, one for each step that says something, and one for the end."""
    chunks = answered(service(), CHAT, {**HELLO, "stream": True})
    assert [c["choices"][0]["delta"].get("content") for c in chunks] == [
        None, "one", " two", " three", " four", " five", None,
    ]  # fmt: skip
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_the_prompt_is_the_rendered_request() -> None:
    """With the effort and the date of the settings where the request has none."""
    engine = ScriptedEngine(ANSWER)
    answered(service(engine, reasoning_effort="high", system_date="2026-01-02"), CHAT, HELLO)
    hello = Conversation([User("Hello")])
    assert engine.prompts == [render(hello, effort="high", date="2026-01-02")]


def test_a_long_new_prompt_does_not_stop_the_event_loop() -> None:
    """It is encoded in a thread, while others' streams go on. A known one needs none."""
    of = service()
    of.context_length = 10**6
    body = {"messages": [{"role": "user", "content": "A long story, never told before. " * 20_000}]}

    async def turns_of_the_loop_meanwhile() -> int:
        reading = asyncio.create_task(of.read(route_for(CHAT), body))
        turns = 0
        while not reading.done():
            await asyncio.sleep(0)
            turns += 1
        await reading
        return turns

    assert run(turns_of_the_loop_meanwhile()) > 10
    assert run(turns_of_the_loop_meanwhile()) <= 10


def test_several_choices_are_generated_at_once() -> None:
    """Each has its own index, its own seed, and counts in the usage."""
    engine = ScriptedEngine(ANSWER)
    (completion,) = answered(service(engine), CHAT, {**HELLO, "n": 3, "seed": 5})
    assert [c["index"] for c in completion["choices"]] == [0, 1, 2]
    assert {c["message"]["content"] for c in completion["choices"]} == {"one two three four five"}
    assert sorted(s.seed for s in engine.samplings if s.seed) == [5, 6, 7]
    assert completion["usage"]["completion_tokens"] == 3 * len(ANSWER)
    assert completion["usage"]["prompt_tokens"] == len(render_prompt(HELLO))


def test_a_stop_string_ends_the_generation() -> None:
    """The engine does not go on for an answer that is over."""
    engine = ScriptedEngine(ANSWER)
    (completion,) = answered(service(engine), CHAT, {**HELLO, "stop": " three"})
    assert completion["choices"][0]["message"]["content"] == "one two"
    assert len(engine.aborted) == 1
    assert not engine.running


def test_a_choice_that_hits_a_stop_string_is_ended_alone() -> None:
    """The others go on to their own ends."""
    engine = ScriptedEngine(ANSWER)
    (completion,) = answered(service(engine), CHAT, {**HELLO, "n": 2, "stop": "three"})
    assert {c["message"]["content"] for c in completion["choices"]} == {"one two "}
    assert not engine.running


@pytest.mark.parametrize("choices", [1, 3])
def test_leaving_a_stream_aborts_its_generation(choices: int) -> None:
    """Whoever stops listening frees the engine."""

    async def leave(of: Service) -> None:
        await of.engine.start()
        body = {**HELLO, "stream": True, "n": choices}
        async with aclosing((await of.read(route_for(CHAT), body)).answer(JobMetrics())) as batches:
            await anext(batches)

    engine = ScriptedEngine(ANSWER)
    run(leave(service(engine)))
    assert len(engine.aborted) == choices
    assert not engine.running


def test_the_served_models_are_listed() -> None:
    """Every name, with the context's length."""
    (models,) = answered(service(), "/v1/models", None)
    assert [m["id"] for m in models["data"]] == ["demo", "gpt-oss"]
    assert models["data"][0]["max_model_len"] == 200


def test_a_model_can_be_asked_for_by_name() -> None:
    """Also by a name with a slash, and under the /openai prefix that some clients send."""
    (model,) = answered(service(), "/openai/v1/models/gpt-oss", {})
    assert model["id"] == "gpt-oss"
    with pytest.raises(NotFound, match="The model 'openai/gpt-4' does not exist"):
        answered(service(), "/v1/models/openai/gpt-4", {})


def test_a_request_may_name_any_served_model() -> None:
    """The answer says the name that was asked for."""
    (completion,) = answered(service(), CHAT, {**HELLO, "model": "gpt-oss"})
    assert completion["model"] == "gpt-oss"


def test_an_unknown_model_names_the_served_ones() -> None:
    """404, as OpenAI answers."""
    with pytest.raises(NotFound) as caught:
        answered(service(), CHAT, {**HELLO, "model": "gpt-5"})
    assert caught.value.status == 404
    assert caught.value.code == "model_not_found"
    assert (
        caught.value.message == "The model 'gpt-5' does not exist. Available models: demo, gpt-oss."
    )


@pytest.mark.parametrize("route", ["/v1/embeddings", "", "/", "/v1", "nonsense", "/v2/models"])
def test_an_unknown_route_is_not_found(route: str) -> None:
    """404 with the route."""
    with pytest.raises(NotFound, match="Unknown route"):
        answered(service(), route, HELLO)


def test_a_prompt_over_the_context_is_refused_with_both_numbers() -> None:
    """400 context_length_exceeded, before the engine sees it."""
    engine = ScriptedEngine(ANSWER)
    long = {"messages": [{"role": "user", "content": "word " * 300}]}
    with pytest.raises(ContextLengthExceeded) as caught:
        answered(service(engine), CHAT, long)
    assert caught.value.code == "context_length_exceeded"
    assert "maximum context length is 200 tokens" in caught.value.message
    assert f"resulted in {len(render_prompt(long))} tokens" in caught.value.message
    assert engine.prompts == []


def test_the_answer_may_fill_what_the_prompt_leaves() -> None:
    """Without a limit of its own, up to the context's end."""
    engine = ScriptedEngine(ANSWER)
    answered(service(engine), CHAT, HELLO)
    assert engine.samplings[0].max_tokens == 200 - len(render_prompt(HELLO)) - 1


def test_a_dead_engine_is_an_error_of_the_worker() -> None:
    """Not of the request."""

    async def ask(of: Service) -> None:
        await of.engine.start()
        await of.engine.close()
        await anext((await of.read(route_for(CHAT), HELLO)).answer(JobMetrics()))

    with pytest.raises(WorkerError) as caught:
        run(ask(service()))
    assert caught.value.status == 503


def test_checking_finds_what_answering_would_refuse() -> None:
    """Without an engine."""
    with pytest.raises(BadRequest):
        run(service().read(route_for(CHAT), {"messages": "no"}))
    run(service().read(route_for(CHAT), HELLO))
    run(service().read(route_for("/v1/models"), None))


def test_metrics_have_the_figures_of_the_answer() -> None:
    """Times in milliseconds, tokens as in the usage."""

    async def ask(of: Service) -> dict[str, Any]:
        metrics = JobMetrics()
        await of.engine.start()
        async with aclosing((await of.read(route_for(CHAT), HELLO)).answer(metrics)) as batches:
            async for _ in batches:
                pass
        return metrics.to_object()

    figures = run(ask(service()))
    assert figures["completion_tokens"] == len(ANSWER)
    assert figures["cached_tokens"] == figures["prompt_tokens"] // 2
    assert 0 <= figures["ttft_ms"] <= figures["total_ms"]


def test_reasoning_that_is_excluded_is_made_and_not_shown() -> None:
    """It counts, as it was generated."""
    output = tokens("<|channel|>analysis<|message|>Hm<|end|>") + tokens(
        "<|start|>assistant<|channel|>final<|message|>Hi<|return|>"
    )
    for field in ({"include_reasoning": False}, {"reasoning": {"exclude": True}}):
        (shown,) = answered(service(ScriptedEngine(output)), CHAT, {**HELLO, **field})
        message = shown["choices"][0]["message"]
        assert message["content"] == "Hi"
        assert not message.get("reasoning")
        assert not message.get("reasoning_content")
        assert shown["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0


def test_an_ordinary_stop_token_is_not_shown() -> None:
    """As a stop string; its log probability goes with it."""
    output = tokens("<|channel|>final<|message|>Hi there")
    body = {**HELLO, "stop_token_ids": [output[-1]], "logprobs": True}
    (shown,) = answered(service(ScriptedEngine(output)), CHAT, body)
    (choice,) = shown["choices"]
    assert choice["message"]["content"] == "Hi"
    assert [each["token"] for each in choice["logprobs"]["content"]] == ["Hi"]


@pytest.mark.parametrize("field", [{"min_tokens": 5}, {"ignore_eos": True}])
def test_what_keeps_an_answer_from_ending_goes_with_no_grammar(field: dict[str, Any]) -> None:
    """Once it is complete, a grammar admits nothing but the end."""
    body = {**HELLO, **field, "response_format": {"type": "json_object"}}
    with pytest.raises(BadRequest) as caught:
        answered(service(ScriptedEngine(tokens("x"))), CHAT, body)
    assert caught.value.param == next(iter(field))
    answered(service(ScriptedEngine(tokens("x"))), CHAT, {**HELLO, **field})

"""The demo model through the whole worker: the real engine, read by OpenAI's own types."""

import asyncio
import json
import time
from contextlib import aclosing
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.conftest import RealWorker
from tests.worker.engine.test_sglang_engine import until_idle
from worker.api.routes import route_for
from worker.engine import Health
from worker.errors import BadRequest, ContextLengthExceeded
from worker.job_metrics import JobMetrics

CHAT = route_for("/v1/chat/completions")
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The current weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string"}},
            "required": ["location"],
        },
    },
}


def ask(content: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}], "temperature": 0, **fields}


async def objects(real: RealWorker, body: Any) -> list[dict[str, Any]]:
    async with aclosing((await real.service.read(CHAT, body)).answer(JobMetrics())) as batches:
        return [item async for batch in batches for item in batch]


async def complete(real: RealWorker, body: Any) -> ChatCompletion:
    (item,) = await objects(real, body)
    return ChatCompletion.model_validate(item)


def test_a_question_is_answered(real: RealWorker) -> None:
    """Reasoning first, then the answer."""
    choice = real.run(complete(real, ask("What is 2+2?"))).choices[0]
    assert "4" in (choice.message.content or "")
    assert choice.message.model_extra is not None
    assert choice.message.model_extra["reasoning"]
    assert choice.finish_reason == "stop"


def test_a_stream_says_the_same_as_the_whole_answer(real: RealWorker) -> None:
    """In many chunks, each OpenAI's."""
    whole = real.run(complete(real, ask("Count to one hundred"))).choices[0].message.content
    chunks = [
        ChatCompletionChunk.model_validate(chunk)
        for chunk in real.run(objects(real, ask("Count to one hundred", stream=True)))
    ]
    streamed = "".join(c.choices[0].delta.content or "" for c in chunks)
    assert streamed == whole
    assert "99, 100" in streamed
    assert len(chunks) > 100


def test_a_tool_is_called_and_its_result_is_answered(real: RealWorker) -> None:
    """A whole round of an agent."""
    body = ask("Weather in Paris?", tools=[WEATHER])
    first = real.run(complete(real, body)).choices[0]
    assert first.finish_reason == "tool_calls"
    assert first.message.tool_calls is not None
    (call,) = first.message.tool_calls
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"location": "Paris"}

    turn = first.message.model_dump(exclude_none=True)
    result = {"role": "tool", "tool_call_id": call.id, "content": '{"temperature": 18}'}
    body["messages"] += [turn, result]
    second = real.run(complete(real, body)).choices[0]
    assert second.finish_reason == "stop"
    assert "tool result" in (second.message.content or "")


def test_anything_else_is_answered_by_one_sentence(real: RealWorker) -> None:
    """The demo model says that it is one."""
    for question in ("Who wrote Faust?", "Schreib ein Gedicht über Regen.", "🙂"):
        message = real.run(complete(real, ask(question))).choices[0].message
        assert "demo model" in (message.content or "")


def test_sixteen_requests_at_once_are_each_answered_as_alone(real: RealWorker) -> None:
    """Batching changes nothing of an answer."""
    questions = ["What is 2+2?", "Count to one hundred", "Who are you?", "What is 2+2?"] * 4

    async def all_at_once() -> list[ChatCompletion]:
        return await asyncio.gather(*(complete(real, ask(question)) for question in questions))

    alone = {
        question: real.run(complete(real, ask(question))).choices[0].message.content
        for question in set(questions)
    }
    together = [c.choices[0].message.content for c in real.run(all_at_once())]
    assert together == [alone[question] for question in questions]


def test_leaving_a_stream_frees_the_engine(real: RealWorker) -> None:
    """The scheduler stops generating."""

    async def leave() -> float:
        body = ask("Count to one hundred", stream=True)
        async with aclosing((await real.service.read(CHAT, body)).answer(JobMetrics())) as batches:
            await anext(batches)
        return await until_idle(real.engine)

    assert real.run(leave()) < 2


def test_a_shared_prefix_comes_from_the_cache(real: RealWorker) -> None:
    """All but the last 64 tokens of it, at most; and usage says so."""
    prefix = "You are a careful assistant of the city's weather office. " * 40
    questions = [
        {"messages": [{"role": "system", "content": prefix}, {"role": "user", "content": q}]}
        for q in ("What is 2+2?", "Who are you?")
    ]
    real.run(complete(real, {**questions[0], "max_tokens": 1}))
    usage = real.run(complete(real, {**questions[1], "max_tokens": 1})).usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens is not None
    shared = usage.prompt_tokens - 20
    assert shared > 400
    assert usage.prompt_tokens_details.cached_tokens >= shared - 64


def test_an_over_long_prompt_is_refused(real: RealWorker) -> None:
    """400, and the engine goes on."""
    with pytest.raises(ContextLengthExceeded, match="131072 tokens"):
        real.run(complete(real, ask("word " * 140_000)))
    real.run(complete(real, ask("What is 2+2?", max_tokens=1)))


def test_a_limit_cuts_the_answer(real: RealWorker) -> None:
    """finish_reason says so, usage counts exactly."""
    completion = real.run(complete(real, ask("Count to one hundred", max_tokens=30)))
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 30


def test_a_stop_string_ends_the_answer(real: RealWorker) -> None:
    """Before its text, and the generation with it."""
    message = real.run(complete(real, ask("Count to one hundred", stop=", 7,"))).choices[0].message
    assert (message.content or "").endswith("6")


def test_log_probabilities_and_several_choices(real: RealWorker) -> None:
    """Together, as OpenAI gives them."""
    body = ask("What is 2+2?", n=2, logprobs=True, top_logprobs=2)
    for choice in real.run(complete(real, body)).choices:
        assert choice.logprobs is not None
        assert choice.logprobs.content is not None
        assert "".join(t.token for t in choice.logprobs.content) == choice.message.content
        assert all(len(t.top_logprobs) == 2 for t in choice.logprobs.content)


def test_a_bias_can_forbid_a_token(real: RealWorker) -> None:
    """It reaches the sampler."""
    plain = real.run(complete(real, ask("What is 2+2?", logprobs=True))).choices[0]
    assert plain.logprobs is not None
    assert plain.logprobs.content is not None
    first = plain.logprobs.content[0].token
    from worker.harmony.vocabulary import encode

    (token,) = encode(first)
    biased = real.run(complete(real, ask("What is 2+2?", logit_bias={str(token): -100})))
    assert not (biased.choices[0].message.content or "").startswith(first)


EDGES: list[dict[str, Any]] = [
    {"temperature": 1e-300},
    {"temperature": 1e-6},
    {"temperature": 2, "top_p": 1e-320},
    {"top_k": 2**31},
    {"top_k": 10**30},
    {"temperature": 1e-6, "repetition_penalty": 0.01},
    {"temperature": 1e-6, "repetition_penalty": 2, "frequency_penalty": -2, "presence_penalty": 2},
    {"min_p": 1},
    {"min_p": 1e-320},
    {"seed": 2**63 - 1, "temperature": 0, "n": 2},
    {"seed": -(2**63), "temperature": 0},
    {"logit_bias": {"0": 100, "00": -100, "201087": 1e-320}},
    {"max_tokens": 10**30, "stop": " "},
    {"logprobs": True, "top_logprobs": 20, "top_k": 1},
]


def test_no_sampling_parameter_ends_the_engine(real: RealWorker) -> None:
    """At the edges of what is admitted, all in one batch."""

    async def all_at_once() -> list[ChatCompletion]:
        bodies = [{**ask("Hi"), "temperature": 1, "max_tokens": 4, **edge} for edge in EDGES]
        return await asyncio.gather(*(complete(real, body) for body in bodies))

    assert all(answer.choices[0].finish_reason for answer in real.run(all_at_once()))
    assert real.engine.health() is Health.READY


def test_a_seed_that_has_no_effect_is_refused(real: RealWorker) -> None:
    """A clear error instead of a silent one; at temperature 0 it changes nothing."""
    real.run(complete(real, ask("What is 2+2?", seed=1, max_tokens=1)))
    with pytest.raises(BadRequest, match="seed"):
        real.run(complete(real, ask("What is 2+2?", seed=1, temperature=1)))


def test_the_first_token_comes_soon(real: RealWorker) -> None:
    """Streaming is real: the first chunk comes long before the last."""

    async def times() -> tuple[float, float]:
        started = time.monotonic()
        first = 0.0
        body = ask("Count to one hundred", stream=True)
        async with aclosing((await real.service.read(CHAT, body)).answer(JobMetrics())) as batches:
            async for _ in batches:
                first = first or time.monotonic() - started
        return first, time.monotonic() - started

    first, last = real.run(times())
    assert first < last / 3

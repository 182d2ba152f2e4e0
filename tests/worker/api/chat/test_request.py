"""Chat completion requests: validated, with errors that a client can act on."""

import logging
from typing import Any

import pytest

from worker.api.chat.request import ChatRequest
from worker.api.fields import read
from worker.errors import BadRequest
from worker.harmony.vocabulary import CALL, RETURN, SIZE

HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "get_weather", "description": None}}


def request(**fields: Any) -> ChatRequest:
    return read(ChatRequest, {"messages": HELLO, **fields})


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (None, None, "The request body must be a JSON object, not null."),
        ([1], None, "The request body must be a JSON object, not an array."),
        ({}, "messages", "messages is required."),
        ({"messages": "no"}, "messages", 'messages must be an array, got "no".'),
        (
            {"messages": []},
            "messages",
            "messages must have at least 1 item, not 0, got an array.",
        ),
        (
            {"messages": [{"role": "user", "content": 5}]},
            "messages[0].content",
            "messages[0].content must be a string, an array of parts or null, got 5.",
        ),
        (
            {"messages": [{"role": "robot", "content": "x"}]},
            "messages[0].role",
            (
                "messages[0].role must be 'system', 'developer', 'user', 'assistant', "
                "'tool' or 'function', got \"robot\"."
            ),
        ),
        (
            {"messages": HELLO, "temperature": "hot"},
            "temperature",
            'temperature must be a number, got "hot".',
        ),
        (
            {"messages": HELLO, "temperature": 3},
            "temperature",
            "temperature must be less than or equal to 2, got 3.",
        ),
        (
            {"messages": HELLO, "max_tokens": 0},
            "max_tokens",
            "max_tokens must be greater than or equal to 1, got 0.",
        ),
        (
            {"messages": HELLO, "n": True},
            "n",
            "n must be an integer, got true.",
        ),
        (
            {"messages": HELLO, "tools": [{"type": "web_search"}]},
            "tools[0].type",
            "tools[0].type must be 'function', got \"web_search\".",
        ),
        (
            {"messages": HELLO, "logit_bias": {"Paris": 1}},
            "logit_bias",
            "logit_bias must have token IDs below 201088 as keys, not 'Paris', got an object.",
        ),
        (
            {"messages": HELLO, "reasoning_effort": "extreme"},
            "reasoning_effort",
            (
                "reasoning_effort must be one of none, minimal, low, medium, high, xhigh, max, "
                'got "extreme".'
            ),
        ),
    ],
)
def test_a_wrong_field_is_named_with_what_it_takes(body: Any, param: str, message: str) -> None:
    """The error says which field, what it takes, and which type it got."""
    with pytest.raises(BadRequest) as caught:
        read(ChatRequest, body)
    assert caught.value.message == message
    assert caught.value.param == param
    assert caught.value.status == 400


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file"])
def test_parts_that_are_not_text_are_refused(kind: str) -> None:
    """gpt-oss reads only text."""
    with pytest.raises(BadRequest, match=f"'{kind}' parts are not supported: gpt-oss reads text"):
        request(messages=[{"role": "user", "content": [{"type": kind, kind: {}}]}])


@pytest.mark.parametrize(
    "part", [{"type": "text", "text": 1}, {"text": "no type"}, "a string", None, {"type": 1}]
)
def test_a_part_must_have_a_type_and_a_text(part: Any) -> None:
    """What is no part is refused, not guessed at."""
    with pytest.raises(BadRequest) as caught:
        request(messages=[{"role": "user", "content": [part]}])
    assert caught.value.param == "messages[0].content"


def test_what_says_nothing_of_the_answer_passes(caplog: pytest.LogCaptureFixture) -> None:
    """As clients send it, unasked or to be told apart; without a warning."""
    with caplog.at_level(logging.WARNING):
        request(
            metadata={"run": "1"},
            prompt_cache_key="k",
            prompt_cache_options={"mode": "implicit"},
            prompt_cache_retention="24h",
            safety_identifier="s",
            service_tier="auto",
            store=True,
            user="someone",
            verbosity="medium",
            parallel_tool_calls=True,
            tools=[],
            tool_choice="auto",
            logit_bias={},
            stream=True,
            stream_options={"include_usage": True, "include_obfuscation": False},
        )
    assert caplog.messages == []


def test_a_field_that_needs_another_is_refused_without_it() -> None:
    """OpenAI refuses these pairs as well."""
    with pytest.raises(BadRequest, match="top_logprobs requires logprobs to be true"):
        request(top_logprobs=2)
    with pytest.raises(
        BadRequest, match=r"stream_options\.include_usage requires stream to be true"
    ):
        request(stream_options={"include_usage": True})


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "tool_calls": [], "audio": None, "refusal": None},
        {"role": "assistant", "content": "", "reasoning": "r", "reasoning_content": "r"},
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "18"}]},
        {"role": "developer", "content": "Be brief.", "name": "boss"},
        {"role": "user", "content": "Hallo!", "name": "Jürgen"},
        {"role": "user", "content": "Hi", "name": "Ann Lee <ann@example.org>"},
        {"role": "tool", "tool_call_id": "call_1", "name": "files/read", "content": "No such."},
        {"role": "assistant", "tool_calls": [{"function": {"name": "files/read"}}]},
    ],
)
def test_what_clients_send_back_passes(message: dict[str, Any]) -> None:
    """Histories come from many clients, each with its own extras."""
    request(messages=[*HELLO, message], tools=[TOOL])


def test_sampling_has_what_was_asked_for() -> None:
    """Every parameter reaches the engine."""
    sampling = (
        request(
            max_completion_tokens=5,
            temperature=0,
            top_p=0.5,
            top_k=40,
            min_p=0.1,
            frequency_penalty=0.2,
            presence_penalty=-0.3,
            repetition_penalty=1.1,
            seed=7,
            logit_bias={"42": -100},
            logprobs=True,
            top_logprobs=3,
        )
        .asked()
        .sampling.within(1000, 2)
    )
    assert sampling.max_tokens == 5
    assert sampling.temperature == 0
    assert (sampling.top_p, sampling.top_k, sampling.min_p) == (0.5, 40, 0.1)
    assert (sampling.frequency_penalty, sampling.presence_penalty) == (0.2, -0.3)
    assert sampling.repetition_penalty == 1.1
    assert sampling.seed == 9
    assert sampling.logit_bias == {42: -100}
    assert sampling.top_logprobs == 3
    assert set(sampling.stop_ids) == {RETURN, CALL}


@pytest.mark.parametrize("top_k", [SIZE, 2**31, 10**30])
def test_a_top_k_of_the_whole_vocabulary_is_none(top_k: int) -> None:
    """SGLang's scheduler ends at one over 31 bits."""
    assert request(top_k=top_k).asked().sampling.top_k == -1
    assert request(top_k=SIZE - 1).asked().sampling.top_k == SIZE - 1


def test_the_seed_of_a_further_choice_has_64_bits_too() -> None:
    """The one after the greatest is the least."""
    assert request(seed=2**63 - 1, n=2).asked().sampling.within(1, 1).seed == -(2**63)


def test_a_repetition_penalty_that_makes_logits_infinite_is_refused() -> None:
    """They are divided by it in 32 bits."""
    assert request(repetition_penalty=0.01).asked().sampling.repetition_penalty == 0.01
    with pytest.raises(BadRequest, match=r"greater than or equal to 0\.01"):
        request(repetition_penalty=1e-38)


def test_sampling_defaults_are_openais() -> None:
    """Temperature 1 and no limit but the context."""
    sampling = request().asked().sampling.within(1000, 0)
    assert sampling.max_tokens == 1000
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (1.0, 1.0, -1)
    assert sampling.top_logprobs is None


def test_more_tokens_than_fit_are_not_an_error() -> None:
    """Agents ask for the model's maximum."""
    assert request(max_tokens=10**9).asked().sampling.within(1000, 0).max_tokens == 1000

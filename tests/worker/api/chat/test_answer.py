"""Answers: chunks of a stream, and the completion that they add up to, read by OpenAI's types."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.support.scripted_engine import steps, tokens
from worker.api.chat.answer import ChatFold
from worker.api.chat.request import ChatRequest
from worker.api.chunks import combine
from worker.api.completions.request import CompletionRequest
from worker.api.dialect import Head
from worker.api.fields import read
from worker.generation import Step
from worker.harmony import Parser
from worker.raw_text import RawText
from worker.turn import Turn, total

THINK = "<|channel|>analysis<|message|>Two and two.<|end|><|start|>assistant"
ANSWER = f"{THINK}<|channel|>final<|message|>It is 4, of course.<|return|>"
CALL = (
    f"{THINK}<|channel|>commentary<|message|>Let me look.<|end|><|start|>assistant"
    '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"location": '
    '"Paris"}<|call|>'
)
TOOLS = [{"type": "function", "function": {"name": "get_weather"}}]
HEAD = Head("1", "demo", 1)


def chunks(body: dict[str, Any], made: list[Step]) -> list[dict[str, Any]]:
    request = read(ChatRequest, {"messages": [{"role": "user", "content": "q"}], **body})
    asked, answer = request.asked(), request.answer(HEAD)
    turn = Turn(Parser(TOOLS), asked.options)
    out: list[dict[str, Any]] = []
    for step in made:
        out += answer.take(0, turn.take(step))
        if turn.ending is not None:
            break
    return [*out, *asyncio.run(answer.close(turn.usage))]


def completion(body: dict[str, Any], made: list[Step]) -> ChatCompletion:
    fold = ChatFold()
    for chunk in chunks(body, made):
        fold.add(chunk)
    return ChatCompletion.model_validate(fold.whole())


def test_an_answer_has_reasoning_content_and_usage() -> None:
    """Reasoning is given under both names; usage has both details."""
    whole = completion({}, steps(tokens(ANSWER), [1]))
    message = whole.choices[0].message
    assert message.content == "It is 4, of course."
    assert message.model_extra is not None
    assert message.model_extra["reasoning"] == "Two and two."
    assert message.model_extra["reasoning_content"] == "Two and two."
    assert message.tool_calls is None
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert whole.usage.prompt_tokens == 50
    assert whole.usage.completion_tokens == len(tokens(ANSWER))
    assert whole.usage.prompt_tokens_details is not None
    assert whole.usage.prompt_tokens_details.cached_tokens == 40
    assert whole.usage.completion_tokens_details is not None
    assert whole.usage.completion_tokens_details.reasoning_tokens == len(tokens("Two and two."))


TWO_CALLS = (
    '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"n": 1}<|end|>'
    "<|start|>assistant"
    '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"n": 2}<|call|>'
)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_without_parallel_calls_the_answer_ends_before_a_second_one(size: int) -> None:
    """However the engine's steps are cut; both calls come where the client does not mind."""
    made = steps(tokens(TWO_CALLS), [size])
    one = completion({"tools": TOOLS, "parallel_tool_calls": False}, made)
    assert arguments(one) == ['{"n": 1}']
    assert one.choices[0].finish_reason == "tool_calls"
    assert arguments(completion({"tools": TOOLS}, made)) == ['{"n": 1}', '{"n": 2}']


def arguments(answer: ChatCompletion) -> list[str]:
    calls = answer.choices[0].message.tool_calls or ()
    return [call.function.arguments for call in calls if call.type == "function"]


@pytest.mark.parametrize("size", [1, 1000])
def test_the_first_chunk_says_the_role_alone(size: int) -> None:
    """Some clients look for nothing else in it, and would lose a text that it has."""
    first, second, *_ = chunks({"stream": True}, steps(tokens(ANSWER), [size]))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": None}
    assert "role" not in second["choices"][0]["delta"]
    assert second["choices"][0]["delta"]["reasoning"]


def test_a_call_comes_with_its_preamble() -> None:
    """The preamble is content; the finish reason says that a tool is waited for."""
    whole = completion({"tools": TOOLS}, steps(tokens(CALL), [3]))
    message = whole.choices[0].message
    assert message.content == "Let me look."
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert call.type == "function"
    assert call.id.startswith("call_")
    assert call.function.name == "get_weather"
    assert call.function.arguments == '{"location": "Paris"}'
    assert whole.choices[0].finish_reason == "tool_calls"


def test_an_answer_cut_by_the_limit_says_length() -> None:
    """Also in the middle of a call, whose partial arguments are kept."""
    ids = tokens(CALL)[:-4]
    whole = completion({"tools": TOOLS}, steps(ids, [1], "length"))
    assert whole.choices[0].finish_reason == "length"
    assert whole.choices[0].message.tool_calls is not None


@pytest.mark.parametrize("harmony", [ANSWER, CALL])
def test_every_chunk_is_openais(harmony: str) -> None:
    """OpenAI's own type reads each chunk; the first has the role, the last the reason."""
    made = chunks({"stream": True, "tools": TOOLS}, steps(tokens(harmony), [1]))
    parsed = [ChatCompletionChunk.model_validate(chunk) for chunk in made]
    assert parsed[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in parsed[:-1]] == [None] * (len(parsed) - 1)
    assert parsed[-1].choices[0].finish_reason in ("stop", "tool_calls")
    assert {c.id for c in parsed} == {"chatcmpl-1"}


def test_usage_comes_last_in_a_stream_that_asks_for_it() -> None:
    """And is null in every chunk before."""
    body = {"stream": True, "stream_options": {"include_usage": True}}
    made = chunks(body, steps(tokens(ANSWER), [1]))
    assert [chunk["usage"] for chunk in made[:-1]] == [None] * (len(made) - 1)
    assert made[-1]["choices"] == []
    assert made[-1]["usage"]["total_tokens"] == 50 + len(tokens(ANSWER))


def test_a_stop_string_ends_the_answer_before_it() -> None:
    """However the engine's steps cut it."""
    for size in (1, 2, 5, 50):
        whole = completion({"stop": ", of"}, steps(tokens(ANSWER), [size]))
        assert whole.choices[0].message.content == "It is 4"
        assert whole.choices[0].finish_reason == "stop"


def test_a_stop_string_is_not_looked_for_in_reasoning_or_arguments() -> None:
    """It applies to the visible answer alone."""
    whole = completion({"stop": ["Two", "Paris"], "tools": TOOLS}, steps(tokens(CALL), [1]))
    message = whole.choices[0].message
    assert message.model_extra is not None
    assert message.model_extra["reasoning"] == "Two and two."
    assert message.tool_calls is not None
    assert whole.choices[0].finish_reason == "tool_calls"


def test_text_held_back_for_a_stop_string_is_sent_at_the_end() -> None:
    """What only looked like its beginning is not lost."""
    whole = completion({"stop": "course.!"}, steps(tokens(ANSWER), [1]))
    assert whole.choices[0].message.content == "It is 4, of course."


@pytest.mark.parametrize("size", [1, 4, 100])
def test_log_probabilities_are_those_of_the_visible_tokens(size: int) -> None:
    """Not of reasoning, headers or markers; with the alternatives that were asked for."""
    body = {"logprobs": True, "top_logprobs": 2}
    whole = completion(body, steps(tokens(ANSWER), [size]))
    logprobs = whole.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert "".join(entry.token for entry in logprobs.content) == "It is 4, of course."
    assert logprobs.content[0].logprob == -0.25
    assert [top.token for top in logprobs.content[0].top_logprobs] == ["It", "!"]
    assert logprobs.content[0].bytes == list(b"It")


@given(st.lists(st.integers(1, 9), min_size=1), st.booleans())
def test_any_split_gives_the_same_answer(sizes: list[int], calls: bool) -> None:
    """The fold of the stream is the same however the engine's steps came."""
    ids = tokens(CALL if calls else ANSWER)
    body = {"tools": TOOLS, "stop": ["xyz"]}
    split, whole = (completion(body, steps(ids, s)).model_dump() for s in (sizes, [len(ids)]))
    for answer in (split, whole):
        for call in answer["choices"][0]["message"]["tool_calls"] or ():
            call["id"] = "any"
    assert split == whole


def test_two_texts_of_one_choice_stay_two_chunks() -> None:
    """Of a text completion, whose choices have no delta."""
    request = read(CompletionRequest, {"prompt": "q", "stream": True})
    turn, answer = Turn(RawText(), request.asked().options), request.answer(HEAD)
    made = steps(tokens("one two"), [1])
    apart = [c for step in made for c in answer.take(0, turn.take(step))]
    assert len(apart) > 1
    assert combine(apart) == apart


def test_chunks_that_are_ready_together_can_go_together() -> None:
    """Choices side by side, a role with the text after it, an end with what it ends.

    They add up to the same completion.
    """
    request = read(ChatRequest, {"messages": [{"role": "user", "content": "q"}], "n": 3})
    answer = request.answer(HEAD)
    turns = [Turn(Parser(), request.asked().options) for _ in range(3)]
    apart = [
        chunk
        for step in steps(tokens(ANSWER), [4])
        for index, turn in enumerate(turns)
        for chunk in answer.take(index, turn.take(step))
    ]
    usage = asyncio.run(answer.close(total([turn.usage for turn in turns], 3)))
    joined = [*combine(apart[:6]), *combine(apart[6:]), *usage]
    assert len(joined) < len(apart) / 2
    begun = [choice["delta"] for chunk in joined for choice in chunk["choices"]][:3]
    assert all(delta["role"] and delta["reasoning"] for delta in begun)
    folds = ChatFold(), ChatFold()
    for fold, sent in zip(folds, ([*apart, *usage], joined), strict=True):
        for chunk in sent:
            ChatCompletionChunk.model_validate(chunk)
            fold.add(chunk)
    assert folds[0].whole() == folds[1].whole()

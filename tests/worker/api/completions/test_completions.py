"""Text completions: what a request may ask, and what is answered; raw text, without Harmony."""

from typing import Any

import pytest
from openai.types import Completion

from tests.support.scripted_engine import ScriptedEngine, tokens
from tests.worker.test_service import answered, service
from worker.errors import BadRequest, ContextLengthExceeded
from worker.harmony.vocabulary import ENDOFTEXT, RETURN, encode

ROUTE = "/v1/completions"
ANSWER = tokens(" one two three<|return|>")


def complete(body: Any, engine: ScriptedEngine | None = None) -> Completion:
    (item,) = answered(service(engine or ScriptedEngine(ANSWER)), ROUTE, body)
    return Completion.model_validate(item, strict=True)


def streamed(body: Any, engine: ScriptedEngine | None = None) -> list[dict[str, Any]]:
    return answered(service(engine or ScriptedEngine(ANSWER)), ROUTE, {**body, "stream": True})


def prompts(prompt: Any) -> list[list[int]]:
    """What the engine was given for it."""
    engine = ScriptedEngine(ANSWER)
    complete({"prompt": prompt}, engine)
    return engine.prompts


@pytest.mark.parametrize(
    ("prompt", "given"),
    [
        ("Count:", [encode("Count:")]),
        (["Count:", "Say"], [encode("Count:"), encode("Say")]),
        ([1, 2, 3], [[1, 2, 3]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
        ("<|start|>user", [encode("<|start|>user")]),
        ([200006], [[200006]]),
        ("", [[ENDOFTEXT]]),
    ],
)
def test_a_prompt_is_text_or_token_ids(prompt: Any, given: list[list[int]]) -> None:
    """One or several. A marker in text is ordinary text; its id is the marker."""
    assert sorted(prompts(prompt)) == sorted(given)


def test_the_answer_is_the_generated_text() -> None:
    """Without the stop token; with a usage that has all details."""
    completion = complete({"prompt": "Count:"})
    assert completion.object == "text_completion"
    assert completion.id.startswith("cmpl-")
    (choice,) = completion.choices
    assert (choice.text, choice.finish_reason) == (" one two three", "stop")
    assert completion.usage is not None
    assert completion.usage.completion_tokens == len(ANSWER)
    assert completion.usage.prompt_tokens_details is not None
    assert completion.usage.completion_tokens_details is not None
    assert completion.usage.completion_tokens_details.reasoning_tokens == 0


def test_without_a_limit_there_are_sixteen_tokens() -> None:
    """OpenAI's default of this route."""
    completion = complete({"prompt": "x"}, ScriptedEngine(encode(" word") * 40))
    assert completion.choices[0].text == " word" * 16
    assert completion.choices[0].finish_reason == "length"


def test_choices_are_numbered_prompt_by_prompt() -> None:
    """And every prompt counts once in the usage."""
    completion = complete({"prompt": ["aa", "b c"], "n": 2, "echo": True})
    texts = [choice.text for choice in completion.choices]
    assert texts == ["aa one two three"] * 2 + ["b c one two three"] * 2
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == len(encode("aa")) + len(encode("b c"))
    assert completion.usage.completion_tokens == 4 * len(ANSWER)


def test_an_echoed_prompt_of_token_ids_is_their_text() -> None:
    """Markers are not shown."""
    completion = complete({"prompt": [*encode("Hi"), RETURN], "echo": True})
    assert completion.choices[0].text == "Hi one two three"


@pytest.mark.parametrize("text", ["Grüße 🙂👩\u200d👩\u200d👧 日本", "𒀀𒀁𒀂"])
def test_a_character_split_over_tokens_is_never_broken(text: str) -> None:
    """Its bytes wait for the rest."""
    ids = [i for byte in text.encode() for i in _ids_of_byte(byte)]
    chunks = streamed({"prompt": "x", "max_tokens": 100}, ScriptedEngine(ids))
    texts = [chunk["choices"][0]["text"] for chunk in chunks]
    assert "".join(texts) == text
    assert not any("\ufffd" in piece for piece in texts)


def _ids_of_byte(byte: int) -> list[int]:
    """The token of that one byte."""
    from worker.harmony.vocabulary import token_bytes

    return [token_bytes().index(bytes([byte]))]


def test_bytes_that_end_within_a_character_are_shown_as_replaced() -> None:
    """Nothing that was generated is silently lost."""
    ids = [i for byte in "é".encode()[:1] for i in _ids_of_byte(byte)]
    assert complete({"prompt": "x"}, ScriptedEngine(ids)).choices[0].text == "\ufffd"


def test_a_stream_adds_up_to_the_whole_answer() -> None:
    """Chunks have the same shape; the usage comes last, where it is asked for."""
    body = {"prompt": "Count:", "stream_options": {"include_usage": True}}
    chunks = streamed(body)
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert [c["choices"][0]["finish_reason"] for c in chunks[:-2]] == [None] * 3
    assert [c["choices"][0]["text"] for c in chunks[:-1]] == [" one", " two", " three", ""]
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == len(ANSWER)


def test_a_stop_string_ends_the_text_and_the_generation() -> None:
    """It is not part of the answer, nor are its tokens' log probabilities."""
    engine = ScriptedEngine(ANSWER)
    (choice,) = complete({"prompt": "Count:", "stop": " two", "logprobs": 1}, engine).choices
    assert (choice.text, choice.finish_reason) == (" one", "stop")
    assert choice.logprobs is not None
    assert choice.logprobs.tokens == [" one"]
    assert len(engine.aborted) == 1


def test_log_probabilities_have_the_legacy_form() -> None:
    """Four lists; offsets count characters, and a token that is no whole text shows its bytes."""
    ids = [*encode(" one"), *_ids_of_byte(0xC3), *_ids_of_byte(0xA9), *encode(" two"), RETURN]
    (choice,) = complete({"prompt": "x", "logprobs": 1}, ScriptedEngine(ids)).choices
    assert choice.text == " oneé two"
    assert choice.logprobs is not None
    assert choice.logprobs.tokens == [" one", "bytes:\\xc3", "bytes:\\xa9", " two"]
    assert choice.logprobs.token_logprobs == [-0.5] * 4
    assert choice.logprobs.top_logprobs == [
        {" one": -0.5}, {"bytes:\\xc3": -0.5}, {"bytes:\\xa9": -0.5}, {" two": -0.5},
    ]  # fmt: skip
    assert choice.logprobs.text_offset == [0, 4, 4, 5]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [201088]}, "prompt"),
        ({"prompt": "x", "suffix": "y"}, "suffix"),
        ({"prompt": "x", "best_of": 2}, ""),
        ({"prompt": "x", "n": 2, "best_of": 3}, ""),
        ({"prompt": "x", "echo": True, "logprobs": 1}, ""),
        ({"prompt": ["x"] * 65, "n": 2}, ""),
        ({"prompt": "x", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "x", "logprobs": True}, "logprobs"),
    ],
)
def test_what_cannot_be_done_is_refused(body: Any, param: str) -> None:
    """400 that names the field."""
    with pytest.raises(BadRequest) as caught:
        complete(body)
    assert caught.value.param == (param or None)


def test_best_of_the_same_number_is_what_happens_anyway() -> None:
    """So it is accepted."""
    assert len(complete({"prompt": "x", "n": 2, "best_of": 2}).choices) == 2


def test_a_prompt_over_the_context_is_refused_with_both_numbers() -> None:
    """As in a chat."""
    with pytest.raises(ContextLengthExceeded, match=r"200 tokens.* prompt resulted in 300 tokens"):
        complete({"prompt": [[1], [1] * 300]})

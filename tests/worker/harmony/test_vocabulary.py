"""The vocabulary: any text as token ids."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.api.chat import render_prompt
from worker.harmony.vocabulary import encode, encoding


@settings(deadline=None)  # the first one loads the vocabularies
@example("half \ud83d")
@given(st.text() | st.text("aA1 \n\r\t'/.st\u0301\u6f22\N{GRINNING FACE}\xe9_"))
def test_text_is_encoded_as_openai_encodes_it(text: str) -> None:
    """Including unpaired surrogates and markers."""
    assert encode(text) == encoding().encode(text, disallowed_special=())


@pytest.mark.parametrize("letter", ["a", " ", "\n", "\t", "!", "\N{GRINNING FACE}", "\u6f22"])
def test_very_long_words_and_runs_of_whitespace_are_encoded(letter: str) -> None:
    """A million characters, fast; OpenAI's own encoder takes minutes or crashes."""
    text = letter * 1_000_000
    assert encoding().decode(encode(text)) == text


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_long_words_are_rendered_in_every_role(role: str) -> None:
    """Instructions are rendered like all other texts."""
    word = "a" * 500_000
    prompt = render_prompt({"messages": [{"role": role, "content": word}]})
    assert word in encoding().decode(prompt)

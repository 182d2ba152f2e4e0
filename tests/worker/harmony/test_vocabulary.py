"""The vocabulary: text as token ids, whatever the text is."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.api.chat import render_prompt
from worker.harmony.vocabulary import encode, encoding


@settings(deadline=None)  # the first one loads the vocabularies
@example("half \ud83d")
@given(st.text() | st.text("aA1 \n\r\t'/.st\u0301\u6f22\N{GRINNING FACE}\xe9_"))
def test_text_is_encoded_as_openai_encodes_it(text: str) -> None:
    """Half characters and markers among it."""
    assert encode(text) == encoding().encode(text, disallowed_special=())


@pytest.mark.parametrize("letter", ["a", " ", "\n", "\t", "!", "\N{GRINNING FACE}", "\u6f22"])
def test_a_word_or_gap_of_a_million_characters_is_encoded(letter: str) -> None:
    """In well under the minutes that OpenAI's own encoder takes, where it does not crash."""
    text = letter * 1_000_000
    assert encoding().decode(encode(text)) == text


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_whoever_says_it_a_long_word_is_rendered(role: str) -> None:
    """Instructions are rendered as all other texts are."""
    word = "a" * 500_000
    prompt = render_prompt({"messages": [{"role": role, "content": word}]})
    assert word in encoding().decode(prompt)

"""The text of a call, out of the JSON that the model writes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.api.responses.free_text import FreeText


def sent(*pieces: str) -> str:
    text = FreeText()
    return "".join([*map(text.feed, pieces), text.close()])


@given(st.text(st.characters(codec="utf-8")), st.booleans(), st.lists(st.integers(1, 9)))
def test_the_text_is_what_the_json_says_at_any_split(
    text: str, ascii_only: bool, sizes: list[int]
) -> None:
    """Escapes, pairs of surrogates and whitespace included."""
    written = json.dumps({"input": text}, ensure_ascii=ascii_only)
    assert sent(*split(written, sizes)) == text


def split(text: str, sizes: list[int]) -> list[str]:
    pieces: list[str] = []
    for size in sizes or [1]:
        pieces.append(text[:size])
        text = text[size:]
    return [*pieces, text]


def test_text_is_sent_as_it_streams() -> None:
    """Only what may still change is held back."""
    text = FreeText()
    assert [text.feed(piece) for piece in ('{ "inp', 'ut" : "*** Be', "gin\\", 'n"', "}")] == [
        "", "*** Be", "gin", "\n", "",
    ]  # fmt: skip


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("ls -l", "ls -l"),
        ("*** Begin Patch\n+a\n", "*** Begin Patch\n+a\n"),
        ('{"command": "ls"}', '{"command": "ls"}'),
        ('{"inputs": "ls"}', '{"inputs": "ls"}'),
        ('{"input": ["ls"]}', '{"input": ["ls"]}'),
        ("{}", ""),
        ("", ""),
        ('{"input": "say "hi" now"}', 'say "hi" now'),
        ('{"input": "a\nb"}', "a\nb"),
        ('{"input": "50\\% \\d"}', "50\\% \\d"),
        ('{"input": "a"\n}\n', "a"),
        ('{"input": "a"', "a"),
        ('{"input": "cut \\u00', "cut "),
        ('{"inp', '{"inp'),
        ('{"input": "\\ud83d!\\ude00"}', "\ufffd!\ufffd"),
    ],
)
def test_what_is_not_such_json_is_the_input_itself(written: str, text: str, size: int) -> None:
    """As far as it can be read: no text is lost for being written in another way."""
    pieces = [written[at : at + size] for at in range(0, len(written), size)]
    assert sent(*pieces) == text

"""Prompts in pieces: kept ids are those that encoding again would give, within a bound."""

from hypothesis import given
from hypothesis import strategies as st

from worker.harmony.texts import EncodedTexts, encoded, joined, joined_anew, texts_of
from worker.harmony.vocabulary import END, START, encode

PIECES = st.lists(st.text() | st.lists(st.integers(0, 200_000)))


@given(PIECES)
def test_a_prompt_is_its_pieces_in_order_each_text_encoded_by_itself(
    pieces: list[str | list[int]],
) -> None:
    """Whatever stands beside a text, its ids are the same."""
    ids = [encode(piece) if isinstance(piece, str) else piece for piece in pieces]
    assert joined_anew(pieces) == [token for each in ids for token in each]


@given(st.lists(st.lists(st.text(max_size=20))), st.integers(0, 2000))
def test_what_was_kept_or_forgotten_never_changes_a_prompt(
    prompts: list[list[str]], max_bytes: int
) -> None:
    """The texts that are found are among those asked for, with the ids that they always have."""
    texts = EncodedTexts(max_bytes)
    for prompt in prompts:
        found = texts.find(texts_of(prompt))
        assert found.keys() <= set(prompt)
        made = encoded(set(prompt) - found.keys())
        texts.keep(made)
        assert joined(prompt, found | made) == joined_anew(prompt)
        assert texts.size <= max_bytes


def test_the_texts_used_last_are_kept() -> None:
    """A history that goes on stays; one that has ended makes room."""
    size = EncodedTexts(10_000)
    size.keep(encoded(["one"]))
    texts = EncodedTexts(2 * size.size)
    texts.keep(encoded(["one"]))
    texts.keep(encoded(["two"]))
    assert texts.find(["one"])
    texts.keep(encoded(["six"]))
    assert texts.find(["one", "two", "six"]).keys() == {"one", "six"}


def test_a_text_larger_than_the_bound_is_not_kept() -> None:
    """Nor does it leave anything behind."""
    texts = EncodedTexts(1000)
    texts.keep(encoded(["a b " * 1000]))
    assert texts.size == 0
    assert not texts.find(["a b " * 1000])


def test_markers_are_ids_and_never_texts() -> None:
    """A text that spells a marker is ordinary text."""
    assert joined_anew([(START,), "<|end|>", (END,)])[1:-1] == encode("<|end|>")
    assert END not in encode("<|end|>")

"""A text that arrives in pieces, kept in little more room than it takes itself."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from worker.harmony.text_buffer import TextBuffer


@given(st.lists(st.text(st.characters(codec=None, exclude_categories=()))))
def test_the_text_is_that_of_its_pieces(pieces: list[str]) -> None:
    """Of any characters, unpaired surrogates included."""
    buffer = TextBuffer()
    for piece in pieces:
        buffer.add(piece)
    assert buffer.text == "".join(pieces)
    assert bool(buffer) == any(pieces)


def test_a_long_text_in_small_pieces_takes_little_more_than_its_characters() -> None:
    """However many pieces there were."""
    tracemalloc.start()
    buffer = TextBuffer()
    for at in range(10_000):
        buffer.add(f"{at:05}")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2 * len(buffer.text)

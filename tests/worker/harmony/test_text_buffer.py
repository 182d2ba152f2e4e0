"""Text and token IDs that arrive in pieces, kept in less room than they take themselves."""

import tracemalloc
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from worker.harmony.text_buffer import BLOCK, TextBuffer, TokenBuffer
from worker.harmony.vocabulary import SIZE, encode

PROSE = (Path(__file__).parents[3] / "docs" / "ARCHITECTURE.md").read_text()
IDS = st.lists(st.integers(0, SIZE - 1))
MANY_IDS = st.builds(lambda ids, times: ids * times, IDS, st.integers(0, 3000))


@given(st.lists(st.text(st.characters(codec=None, exclude_categories=()))))
def test_the_text_is_that_of_its_pieces(pieces: list[str]) -> None:
    """Of any characters, unpaired surrogates included."""
    buffer = TextBuffer()
    for piece in pieces:
        buffer.add(piece)
    assert buffer.text == "".join(pieces)
    assert bool(buffer) == any(pieces)


@given(st.text(st.characters(codec=None, exclude_categories=())), st.integers(1, BLOCK))
def test_a_text_of_many_blocks_is_whole(piece: str, times: int) -> None:
    """Wherever a block ends, within a character too."""
    buffer = TextBuffer()
    for _ in range(times):
        buffer.add(piece)
    assert buffer.text == piece * times


@given(st.lists(IDS | MANY_IDS, max_size=5), st.integers(0, 9000), st.integers(0, 9000))
def test_ids_are_those_of_all_pieces(pieces: list[list[int]], start: int, stop: int) -> None:
    """Any slice of them, within blocks and across."""
    buffer = TokenBuffer()
    for piece in pieces:
        buffer.extend(piece)
    ids = [token for piece in pieces for token in piece]
    assert buffer.slice().tolist() == ids
    assert buffer.slice(start, stop).tolist() == ids[start:stop]


def test_prose_and_its_ids_take_half_of_their_bytes_and_a_block() -> None:
    """However many pieces there were."""
    ids = encode(PROSE)
    text, tokens = TextBuffer(), TokenBuffer()
    tracemalloc.start()
    for piece in PROSE.split(" "):
        text.add(piece)
    of_text, _ = tracemalloc.get_traced_memory()
    for token in ids:
        tokens.extend([token])
    of_both, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert of_text < len(PROSE) / 2 + 1.2 * BLOCK
    assert of_both - of_text < 4 * len(ids) / 2 + 1.2 * BLOCK

"""worker/harmony/encoded_text.py: a prompt's ids, of which those of known texts are kept."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.harmony import encoded_text
from worker.harmony.encoded_text import SHORT, EncodedTexts, Segment, join, recalled
from worker.harmony.vocabulary import END, START, encode

TEXTS = st.text(max_size=20) | st.text(min_size=SHORT - 1, max_size=SHORT + 40)
IDS = st.lists(st.integers(0, 199_000), max_size=5)


def encoded(segment: Segment) -> list[int]:
    if isinstance(segment, int):
        return [segment]
    return encode(segment) if isinstance(segment, str) else list(segment)


@given(st.lists(st.sampled_from([START, END]) | TEXTS | IDS.map(tuple)))
def test_a_prompts_ids_are_those_of_its_segments(segments: list[Segment]) -> None:
    """Each is encoded by itself, the first time and when it is known."""
    expected = [token for segment in segments for token in encoded(segment)]
    assert list(join(segments)) == expected
    assert list(join(segments)) == expected


def test_only_long_texts_that_are_not_kept_have_to_be_encoded() -> None:
    """Headers are encoded where they stand."""
    known, unknown = "a known text " * 20, "an unknown text " * 20
    join([known])
    ids = [START, join(["user"]), join([known]), unknown, (1, 2)]
    assert recalled([START, "user", known, unknown, (1, 2)]) == ids
    kept = join([unknown])
    assert recalled([unknown]) == [kept]


def test_a_recalled_text_may_be_forgotten_before_the_prompt_is_joined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While a thread encodes what is new, other prompts take the place of what was kept."""
    monkeypatch.setattr(encoded_text, "_texts", EncodedTexts(5_000))
    text = "a text that was kept " * 20
    ids = join([text])
    prompt = recalled([text])
    join(["other texts took its place " * 100])
    assert recalled([text]) == [text]
    assert prompt == [ids]


def test_what_is_kept_is_bounded_and_the_least_recently_used_goes_first() -> None:
    """Texts of 1,000 bytes and 200 ids take 2,900 bytes each: three fit into 10,000."""
    texts = EncodedTexts(10_000)
    first, second, third, fourth = (f"{name} and " * 125 for name in ("one", "two", "six", "ten"))
    for text in (first, second, third, first):
        texts.encode(text)
    texts.encode(fourth)
    assert [text in texts for text in (first, second, third, fourth)] == [True, False, True, True]
    assert len(texts) == 3


def test_a_text_that_is_larger_than_the_bound_is_encoded_and_not_kept() -> None:
    """It takes the place of everything else for a moment at most."""
    texts = EncodedTexts(1000)
    text = "long " * 1000
    assert list(texts.encode(text)) == encode(text)
    assert len(texts) == 0


def test_threads_may_encode_the_same_texts() -> None:
    """The bytes are counted once for each text."""
    texts = EncodedTexts(40_000)
    many = [f"{number} is a number, and so on. " * 10 for number in range(50)] * 4
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(texts.encode, many))
    assert [list(ids) for ids in found] == [encode(text) for text in many]
    assert 0 < len(texts) < 50

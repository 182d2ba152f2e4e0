"""Stop strings in a streamed answer."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from worker.stop_strings import StopStrings


def test_text_before_a_stop_string_is_sent_and_nothing_after() -> None:
    """The stop string itself is not sent."""
    stop = StopStrings(["END"])
    assert stop.feed("one END two") == "one "
    assert stop.found is not None


def test_a_stop_string_split_over_pieces_is_found() -> None:
    """No part of it has been sent when it is complete."""
    stop = StopStrings(["\n\nUser:"])
    assert [stop.feed(piece) for piece in ("hi\n", "\nUs", "er", ": you")] == ["hi", "", "", ""]
    assert stop.found is not None


def test_what_only_looked_like_a_stop_string_is_sent_later() -> None:
    """A tail is held back while it could become one, and no longer."""
    stop = StopStrings(["abc"])
    assert stop.feed("xab") == "x"
    assert stop.feed("d") == "abd"
    assert stop.feed("a") == ""
    assert stop.flush() == "a"
    assert stop.found is None


def test_the_first_stop_string_to_be_complete_counts() -> None:
    """As if the characters came one by one."""
    stop = StopStrings(["two", "one"])
    assert stop.feed("zero one two") == "zero "
    assert stop.found == "one"


@given(
    st.text("ab", max_size=30),
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.integers(0, 30)),
)
def test_any_split_sends_the_same_text(text: str, strings: list[str], cuts: list[int]) -> None:
    """What is sent is the text up to the first stop string, however it came."""
    stop = StopStrings(strings)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    sent = ""
    for start, end in pairwise(edges):
        if stop.found is None:
            sent += stop.feed(text[start:end])
    if stop.found is None:
        sent += stop.flush()
    complete = [(text.find(s) + len(s), text.find(s)) for s in strings if s in text]
    assert (stop.found is not None) == bool(complete)
    assert sent == (text[: min(complete)[1]] if complete else text)

"""Capsules: exact token ids in a string that a client carries."""

import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.harmony.capsule import Capsules
from worker.harmony.vocabulary import END, FIRST_SPECIAL, encode

OLD, NEW = "an old key of 32 characters......", "a new key of 32 characters......."
IDS = [0, 1, 255, 256, 65536, FIRST_SPECIAL - 1]


@given(st.lists(st.integers(0, FIRST_SPECIAL - 1)))
def test_any_ordinary_ids_come_back(ids: list[int]) -> None:
    """Sealed or readable."""
    for capsules in (Capsules(), Capsules([NEW])):
        assert capsules.open(capsules.seal(ids)) == ids


def test_markers_are_left_out_when_a_capsule_is_made() -> None:
    """Malformed output may have them inside its reasoning."""
    assert Capsules().open(Capsules().seal([1, END, 2])) == [1, 2]


@pytest.mark.parametrize("special", [FIRST_SPECIAL, END, 2**24 - 1])
def test_a_forged_capsule_with_a_marker_does_not_open(special: int) -> None:
    """No marker can be injected."""
    packed = b"".join(token.to_bytes(3, "little") for token in (1, special))
    forged = base64.urlsafe_b64encode(b"\x01\x01" + zlib.compress(packed)).decode()
    assert Capsules().open(forged) is None


def test_a_capsule_opens_after_its_key_was_rotated() -> None:
    """As long as the old key is kept behind the new one."""
    capsule = Capsules([OLD]).seal(IDS)
    assert Capsules([NEW, OLD]).open(capsule) == IDS
    assert Capsules([NEW]).open(capsule) is None
    assert Capsules().open(capsule) is None


def test_a_readable_capsule_opens_once_there_are_keys() -> None:
    """The sessions that are under way when an operator sets the first key go on."""
    assert Capsules([NEW]).open(Capsules().seal(IDS)) == IDS


def test_a_sealed_capsule_does_not_show_its_ids() -> None:
    """Nor does it say the same twice."""
    capsules = Capsules([NEW])
    assert capsules.seal(IDS) != capsules.seal(IDS)


def test_what_inflates_beyond_the_context_does_not_open() -> None:
    """A small capsule cannot fill the memory."""
    bomb = Capsules().seal([0] * 1_000_000)
    assert len(bomb) < 10_000
    assert Capsules(max_tokens=1000).open(bomb) is None
    assert Capsules(max_tokens=1000).open(Capsules().seal([5] * 1000)) == [5] * 1000


def test_the_capsules_of_one_request_cannot_fill_it_either() -> None:
    """Once they hold more than the context, the prompt is too long in any case."""
    capsules = Capsules(max_tokens=1000)
    capsule = capsules.seal([5] * 600)
    request = capsules.for_one_request()
    opened = [request.open(capsule) is not None for _ in range(9)]
    assert opened == [True, True, *[False] * 7]
    assert capsules.for_one_request().open(capsule) == [5] * 600


@given(st.text() | st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_any_other_string_does_not_open(text: str) -> None:
    """And raises nothing."""
    for capsules in (Capsules(), Capsules([NEW])):
        assert capsules.open(text) is None


@given(st.data())
def test_a_damaged_capsule_opens_to_ordinary_ids_or_not_at_all(data: st.DataObject) -> None:
    """Cut, or with a character changed."""
    capsule = Capsules().seal(encode("Two and two is four, of course."))
    at = data.draw(st.integers(0, len(capsule) - 1))
    damaged = data.draw(st.sampled_from([capsule[:at], f"{capsule[:at]}A{capsule[at + 1 :]}"]))
    opened = Capsules().open(damaged)
    assert opened is None or all(0 <= token < FIRST_SPECIAL for token in opened)


def test_a_capsule_of_a_thousand_tokens_is_a_few_kilobytes() -> None:
    """Clients keep them in every turn."""
    prose = encode(
        " ".join(f"The {n}th step looks at file {n} and finds a test." for n in range(90))
    )
    assert len(Capsules().seal(prose[:1000])) < 4000

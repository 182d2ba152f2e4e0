"""Fates: certain, by rate, and the same in each run."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from emulator.faults import Faults, Outcome, problems


def outcomes(faults: Faults, posts: int = 400) -> list[Outcome]:
    return [faults.outcome("stream", f"1/{number}") for number in range(posts)]


def test_the_next_ones_strike_for_certain_and_then_no_more() -> None:
    """`next` counts down."""
    faults = Faults.model_validate({"stream": {"fail": {"next": 2}, "drop": {"next": 1}}})
    assert outcomes(faults, 4) == [Outcome.DROP, Outcome.FAIL, Outcome.FAIL, Outcome.OK]


def test_rates_share_the_luck() -> None:
    """Three rates of a quarter leave a quarter."""
    quarter = {"rate": 0.25}
    faults = Faults.model_validate({"stream": {"fail": quarter, "drop": quarter, "busy": quarter}})
    assert all(60 < count < 140 for count in Counter(outcomes(faults)).values())


@given(seed=st.integers(0, 99))
def test_a_posts_fate_hangs_on_seed_job_and_number_alone(seed: int) -> None:
    """The same in any order, so a run can be repeated; another seed gives another run."""
    faults = Faults.model_validate({"seed": seed, "stream": {"fail": {"rate": 0.5}}})
    forwards = [faults.outcome("stream", f"7/{number}") for number in range(64)]
    backwards = [faults.outcome("stream", f"7/{number}") for number in reversed(range(64))]
    assert forwards == backwards[::-1]
    other = faults.model_copy(update={"seed": seed + 1})
    assert forwards != [other.outcome("stream", f"7/{number}") for number in range(64)]


def test_a_body_that_is_too_large_uses_up_no_chance() -> None:
    """413 comes first."""
    faults = Faults.model_validate({"done": {"max_bytes": 10, "fail": {"next": 1}}})
    assert faults.outcome("done", "1/0", 11) is Outcome.TOO_LARGE
    assert faults.outcome("done", "1/0", 10) is Outcome.FAIL


@pytest.mark.parametrize(
    "wrong",
    [{"strem": {}}, {"stream": {"fail": 1}}, {"seed": "x"}, {"duplicate": {"rate": 2}}],
)
def test_a_fault_that_does_not_exist_is_refused(wrong: dict[str, object]) -> None:
    """A typo must not look like a fault that never strikes."""
    with pytest.raises(ValidationError):
        Faults.model_validate(wrong)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            '{"stream": {"fail": {"rate": 3}}}',
            "stream.fail.rate must be 1 at most, not 3.",
        ),
        ('{"strem": {}}', "strem is not a fault."),
        ('{"seed": "x"}', 'seed must be a whole number, not "x".'),
        ('{"seed": 1.5}', "seed must be a whole number, not 1.5."),
        ('{"done": {"max_bytes": 0}}', "done.max_bytes must be 1 or more, not 0."),
        ('{"take": {"latency_ms": "x"}}', 'take.latency_ms must be a number, not "x".'),
        ('{"miss_pings": 7}', "miss_pings must be true or false, not 7."),
        ('{"duplicate": true}', "duplicate must be an object, not true."),
        ("5", "The body must be an object, not 5."),
        ("{", "The body is not JSON."),
    ],
)
def test_what_is_wrong_with_faults_is_said_in_words(body: str, said: str) -> None:
    """With the path of the field, and what it was given."""
    with pytest.raises(ValidationError) as caught:
        Faults.model_validate_json(body)
    assert problems(caught.value) == said

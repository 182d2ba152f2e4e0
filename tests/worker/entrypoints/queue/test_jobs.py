"""Replies to job-take: every job in them that has an id can be answered."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.entrypoints.queue.jobs import Job, parse_jobs


def nested(levels: int, inner: str = "1") -> str:
    return '{"a":[' * (levels // 2) + inner + "]}" * (levels // 2)


def test_a_reply_is_one_job_or_a_list_of_them() -> None:
    """As job-take and job-take-batch answer."""
    job = {"id": "a", "input": {"prompt": "hi"}, "webhook": None}
    assert parse_jobs(json.dumps(job).encode()) == [Job("a", {"prompt": "hi"})]
    assert parse_jobs(json.dumps([job, {"id": "b"}]).encode()) == [
        Job("a", {"prompt": "hi"}),
        Job("b", None),
    ]


@pytest.mark.parametrize("levels", [1200, 2000, 100_000])
def test_a_job_that_nests_too_deeply_takes_no_other_with_it(levels: int) -> None:
    """It is known by its id, wherever that stands, and carries the reason."""
    reply = f'[{{"input": {nested(levels)}, "id": "deep"}}, {{"id": "b", "input": {{"x": "]}}"}}}}]'
    deep, plain = parse_jobs(reply.encode())
    assert deep.id == "deep"
    assert deep.problem is not None
    assert deep.problem.status == 400
    assert plain == Job("b", {"x": "]}"})


def test_what_is_deep_and_streamed_is_still_known_as_streamed() -> None:
    """So that its client gets the error as an event."""
    reply = f'{{"id": "a", "input": {{"openai_input": {{"stream": true, "m": {nested(3000)}}}}}}}'
    (job,) = parse_jobs(reply.encode())
    assert job.input["openai_input"]["stream"] is True


@pytest.mark.parametrize("value", [None, 5, "x", [], [None], [{"input": {}}], [{"id": 7}], {}])
def test_what_has_no_id_is_left_out(value: Any) -> None:
    """Nobody could be told."""
    assert parse_jobs(json.dumps(value).encode()) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_text_that_looks_like_brackets_is_text(value: Any) -> None:
    """Beside a job that nests too deeply."""
    reply = f'[{{"id": "a", "input": {json.dumps(value)}}}, {{"id": "b", "input": {nested(2400)}}}]'
    assert parse_jobs(reply.encode())[0] == Job("a", value)

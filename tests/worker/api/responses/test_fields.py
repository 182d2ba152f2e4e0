"""The fields of the Responses API: what tests of every route's table do not cover."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.api.test_field_table import JSON
from worker.api.dialect import Asked
from worker.api.field_table import FIELDS
from worker.api.fields import read
from worker.api.responses.request import ResponsesRequest
from worker.errors import BadRequest

OPENAI_3_57 = {
    *("access_programs", "background_options", "client_metadata", "context_management"),
    *("conversation", "image", "moderation", "prompt_cache_options", "prompt_cache_retention"),
}
"""Fields of OpenAI's newer types, which the pinned ones do not have."""


def request(**fields: object) -> ResponsesRequest:
    return read(ResponsesRequest, {"input": "Hi", **fields})


def problem(**fields: object) -> BadRequest | None:
    """Why a request with these fields is refused, if it is."""
    try:
        asked(request(**fields))
    except BadRequest as error:
        return error
    return None


def asked(of: ResponsesRequest) -> Asked:
    return of.asked([])


def test_it_has_every_field_of_openais_newer_types() -> None:
    """None is ignored for being unknown."""
    assert OPENAI_3_57 - FIELDS["responses"].keys() == set()


@given(JSON | st.lists(st.dictionaries(st.sampled_from(["type", "role", "content"]), JSON)))
def test_any_input_is_read_or_refused_by_its_name(value: object) -> None:
    """Whatever is in it."""
    error = problem(input=value)
    assert error is None or (error.param or "").startswith("input")


@pytest.mark.parametrize(
    "name", ["max_output_tokens", "max_new_tokens", "n_predict", "num_predict"]
)
def test_a_limit_has_several_names(name: str) -> None:
    """But not chat's, which would be a mistake."""
    assert asked(request(**{name: 3})).sampling.max_tokens == 3
    assert request(max_output_tokens=-1).shown()["max_output_tokens"] is None


def test_what_shapes_the_answer_reaches_the_engine() -> None:
    """Chat's names, where OpenAI's API has none."""
    fields = {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "seed": 7}
    sampling = asked(request(**fields, logit_bias={"5": 1}, stop="x")).sampling
    assert {name: getattr(sampling, name) for name in fields} == fields
    assert sampling.logit_bias == {5: 1.0}
    assert asked(request(stop="x")).options.stop == ["x"]
    assert asked(request(reasoning={"effort": "high"})).prompts[0].wanted.effort == "high"  # type: ignore[union-attr]
    assert request(min_tokens=3, max_output_tokens=5)
    with pytest.raises(BadRequest, match="min_tokens must not be greater than max_output_tokens"):
        request(min_tokens=5, max_output_tokens=3)

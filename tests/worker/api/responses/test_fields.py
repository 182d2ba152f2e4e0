"""The field table of the Responses API: whole, and true of every field in it."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming as Params

from tests.worker.api.test_field_table import JSON, sglangs
from worker.api.dialect import Asked
from worker.api.field_table import FIELDS, Alias, NoEffect, Rejected, Supported
from worker.api.fields import read
from worker.api.responses.request import ResponsesRequest
from worker.errors import BadRequest

TABLE = FIELDS["responses"]
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


@pytest.mark.parametrize(
    "theirs",
    [
        {name for base in Params.__mro__ for name in getattr(base, "__annotations__", {})},
        sglangs("ResponsesRequest"),
        OPENAI_3_57,
    ],
)
def test_it_has_every_field_of_openais_and_sglangs(theirs: set[str]) -> None:
    """None is ignored for being unknown."""
    assert len(theirs) > 5
    assert theirs - TABLE.keys() == set()


def test_what_works_is_what_the_request_reads() -> None:
    """No more, and no less; an alias stands for one of these."""
    works = {name for name, use in TABLE.items() if isinstance(use, Supported)}
    targets = {use.of for use in TABLE.values() if isinstance(use, Alias)}
    assert works | targets == ResponsesRequest.model_fields.keys()


def test_what_asks_for_nothing_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Null everywhere, each value that asks for what happens anyway, and what has no effect."""
    plain = request()
    with caplog.at_level(logging.WARNING):
        for name, use in TABLE.items():
            values = use.accepted_values if isinstance(use, Rejected) else ()
            values = [5, "x", {"a": [1]}] if isinstance(use, NoEffect) else [*values, None]
            for value in [] if name == "input" else values:
                one = request(**{name: value})
                assert (one, asked(one)) == (plain, asked(plain)), (name, value)
    assert caplog.messages == []


@given(data=st.data())
def test_any_value_is_read_or_refused_by_the_fields_name(data: st.DataObject) -> None:
    """There is no third way."""
    name = data.draw(st.sampled_from(sorted(TABLE.keys() - {"input", "extra_body"})))
    use = TABLE[name]
    value = data.draw(JSON)
    error = problem(**{name: value})
    if error is None:
        assert not isinstance(use, Rejected) or use.accepts(value)
    else:
        assert not isinstance(use, NoEffect)
        assert name in error.message
        assert error.param is None or error.param.startswith(name)


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

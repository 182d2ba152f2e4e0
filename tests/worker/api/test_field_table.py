"""The table of request fields: whole, and true of every field in it."""

import ast
import logging
from pathlib import Path
from typing import Any

import pytest
import sglang
from anthropic.types import message_count_tokens_params, message_create_params
from anthropic.types.beta import message_create_params as beta_params
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsStreaming as TextParams
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming as Response

from builder.openapi.fields_page import FIELDS_PAGE, fields_page
from worker.api.anthropic.request import AskedMessage, CountRequest, MessagesRequest
from worker.api.chat.request import ChatRequest
from worker.api.completions.request import CompletionRequest
from worker.api.dialect import Asked
from worker.api.field_table import FIELDS, Alias, NoEffect, Rejected, RequestKind, Supported
from worker.api.fields import RequestFields, read
from worker.api.responses.request import ResponsesRequest
from worker.api.sampling import SamplingFields
from worker.errors import BadRequest
from worker.generation import Sampling
from worker.harmony.capsule import Capsules
from worker.harmony.conversation import JsonAnswer
from worker.harmony.vocabulary import CALL, RETURN, encode

MODELS: dict[RequestKind, type[RequestFields]] = {
    "chat": ChatRequest,
    "text": CompletionRequest,
    "responses": ResponsesRequest,
    "messages": MessagesRequest,
    "count_tokens": CountRequest,
}
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
LEAST: dict[RequestKind, dict[str, Any]] = {
    "chat": HELLO,
    "text": {"prompt": "Once"},
    "responses": {"input": "Hello"},
    "messages": {**HELLO, "max_tokens": 5},
    "count_tokens": HELLO,
}
KINDS: list[RequestKind] = ["chat", "text"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def chat(**fields: Any) -> ChatRequest:
    return read(ChatRequest, {**LEAST["chat"], **fields})


def text(**fields: Any) -> CompletionRequest:
    return read(CompletionRequest, {**LEAST["text"], **fields})


def asked(request: RequestFields) -> Asked | None:
    """What is asked of the engine; a count asks nothing."""
    match request:
        case ChatRequest() | CompletionRequest():
            return request.asked()
        case ResponsesRequest():
            return request.asked([])
        case MessagesRequest():
            return AskedMessage(request, Capsules()).asked()
        case _:
            return None


def sampling(request: RequestFields) -> Sampling:
    wanted = asked(request)
    assert wanted is not None
    return wanted.sampling.within(1000, 0)


def problem(kind: RequestKind, name: str, value: Any) -> BadRequest | None:
    """Why a request with this value is refused, if it is."""
    try:
        if wanted := asked(read(MODELS[kind], {**LEAST[kind], name: value})):
            wanted.sampling.within(1000, 0)
    except BadRequest as error:
        return error
    return None


def refused(kind: RequestKind, **fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        read(MODELS[kind], {**LEAST[kind], **fields})
    return caught.value


def sglangs(name: str) -> set[str]:
    """The public fields of a class of SGLang's protocol, its bases' too; without importing it."""
    source = Path(sglang.__path__[0]) / "srt" / "entrypoints" / "openai" / "protocol.py"
    classes = {n.name: n for n in ast.parse(source.read_text()).body if isinstance(n, ast.ClassDef)}
    found = {
        node.target.id
        for node in classes[name].body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    bases = [b.id for b in classes[name].bases if isinstance(b, ast.Name) and b.id in classes]
    return {f for f in found.union(*map(sglangs, bases)) if not f.startswith("_")}


def declared(params: type) -> set[str]:
    """The fields of a TypedDict, its bases' too."""
    return {name for base in params.__mro__ for name in getattr(base, "__annotations__", {})}


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [
        ("chat", declared(ChatParams)),
        ("text", declared(TextParams)),
        ("chat", sglangs("ChatCompletionRequest")),
        ("text", sglangs("CompletionRequest")),
        (
            "responses",
            declared(Response),
        ),
        ("responses", sglangs("ResponsesRequest")),
        ("messages", declared(message_create_params.MessageCreateParamsStreaming)),
        ("messages", declared(beta_params.MessageCreateParamsStreaming)),
        ("count_tokens", declared(message_count_tokens_params.MessageCountTokensParams)),
    ],
)
def test_it_has_every_field_of_openais_anthropics_and_sglangs(
    kind: RequestKind, theirs: set[str]
) -> None:
    """None is ignored for being unknown."""
    assert len(theirs) > 5
    assert theirs - FIELDS[kind].keys() == set()


@pytest.mark.parametrize("kind", MODELS)
def test_what_works_is_what_the_request_reads(kind: RequestKind) -> None:
    """No more, and no less; an alias stands for one of these."""
    read_by_model = MODELS[kind].model_fields.keys()
    works = {name for name, use in FIELDS[kind].items() if isinstance(use, Supported)}
    targets = {use.of for use in FIELDS[kind].values() if isinstance(use, Alias)}
    assert works | targets == read_by_model


@pytest.mark.parametrize("kind", MODELS)
def test_what_asks_for_nothing_changes_nothing(
    kind: RequestKind, caplog: pytest.LogCaptureFixture
) -> None:
    """Null everywhere, each value that asks for what happens anyway, and what has no effect."""
    plain = read(MODELS[kind], LEAST[kind])
    with caplog.at_level(logging.WARNING):
        for name, use in FIELDS[kind].items():
            values = use.accepted_values if isinstance(use, Rejected) else ()
            values = [5, "x", {"a": [1]}] if isinstance(use, NoEffect) else [*values, None]
            for value in [] if name in LEAST[kind] else values:
                request = read(MODELS[kind], {**LEAST[kind], name: value})
                assert (request, asked(request)) == (plain, asked(plain)), (name, value)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("chat", {"n": 1, "logprobs": False, "top_logprobs": 0}),
        ("text", {"n": 1, "logprobs": False, "top_logprobs": 0}),
        ("chat", {"stream_options": {"include_usage": False}}),
        ("chat", {"usage": {"include": True}}),
        ("chat", {"max_tokens": -1}),
        ("chat", {"seed": -1}),
        ("chat", {"n_predict": -1, "max_tokens": -1}),
        ("chat", {"grammar": "", "guided_regex": "", "structured_outputs": True}),
        ("chat", {"thinking": {"type": "adaptive"}}),
        ("chat", {"min_new_tokens": 0, "sampling_seed": None, "num_return_sequences": 1}),
        ("chat", {"extra_body": {"best_of": 1, "extra_headers": {}}}),
        ("text", {"function_call": "none", "functions": [], "guided_regex": ""}),
        ("text", {"include_reasoning": False, "enable_thinking": False}),
    ],
)
def test_a_value_of_a_field_that_works_can_ask_for_what_happens_anyway(
    kind: RequestKind, fields: dict[str, Any]
) -> None:
    """As clients send their own defaults."""
    plain = read(MODELS[kind], LEAST[kind])
    assert asked(read(MODELS[kind], {**LEAST[kind], **fields})) == asked(plain)


@pytest.mark.parametrize("kind", MODELS)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_value_is_read_or_refused_by_the_fields_name(
    kind: RequestKind, data: st.DataObject
) -> None:
    """There is no third way."""
    names = FIELDS[kind].keys() - LEAST[kind].keys() - {"extra_body"}  # which has others in it
    name = data.draw(st.sampled_from(sorted(names)))
    use = FIELDS[kind][name]
    nothing = use.accepted_values if isinstance(use, Rejected) else ()
    value = data.draw(JSON | st.sampled_from([*nothing, None]))
    error = problem(kind, name, value)
    if error is None:
        assert not isinstance(use, Rejected) or use.accepts(value)
    else:
        assert not isinstance(use, NoEffect)
        assert name in error.message
        assert error.param is None or error.param.startswith(name)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("chat", "mirostat", 2),
        ("chat", "typical_p", 0.5),
        ("chat", "dry_multiplier", 0.8),
        ("chat", "xtc_probability", 0.1),
        ("chat", "use_beam_search", True),
        ("chat", "best_of", 2),
        ("chat", "best_of", True),
        ("chat", "length_penalty", 1.1),
        ("chat", "skip_special_tokens", False),
        ("chat", "function_call", {"name": "f"}),
        ("chat", "functions", [{"name": "f"}]),
        ("chat", "web_search_options", {}),
        ("chat", "verbosity", "low"),
        ("chat", "allowed_token_ids", [1]),
        ("chat", "chat_template", "x"),
        ("chat", "thinking_budget", 100),
        ("chat", "system", "Be brief."),
        ("chat", "truncate", 100),
        ("chat", "watermark", True),
        ("chat", "return_full_text", True),
        ("chat", "max_length", 20),
        ("chat", "guidance_scale", 3),
        ("text", "tools", [{"type": "function"}]),
        ("text", "response_format", {"type": "json_object"}),
        ("text", "structured_outputs", {"regex": "a"}),
        ("text", "guided_json", {"type": "object"}),
        ("text", "guided_decoding", {"regex": "a"}),
        ("text", "grammar", 'root ::= "a"'),
        ("text", "reasoning_effort", "high"),
        ("text", "thinking", {"type": "enabled"}),
        ("text", "apply_chat_template", True),
    ],
)
def test_a_value_that_would_change_the_answer_is_refused(
    kind: RequestKind, name: str, value: Any
) -> None:
    """By the field's name."""
    error = refused(kind, **{name: value})
    assert error.message.startswith(f"{name} is not supported; omit it")
    assert error.param == name
    assert error.code == "unsupported_parameter"


def test_a_name_that_no_one_knows_is_ignored_with_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In the log, once."""
    with caplog.at_level(logging.WARNING):
        chat(x_of_this_test="abc")
        chat(x_of_this_test="def")
    assert caplog.messages == ["ignored an unknown request field: 'x_of_this_test'"]


@pytest.mark.parametrize(
    "name",
    ["max_tokens", "max_completion_tokens", "max_new_tokens", "max_output_tokens", "n_predict"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_of_tokens_has_many_names(kind: RequestKind, name: str) -> None:
    """An error says the one that was given."""
    assert sampling(read(MODELS[kind], {**LEAST[kind], name: 3})).max_tokens == 3
    assert refused(kind, **{name: 0}).param == name


def test_minus_one_is_no_limit_of_tokens() -> None:
    """Also where the default is one."""
    assert sampling(text()).max_tokens == 16
    assert sampling(text(max_tokens=-1)).max_tokens == 1000


def test_an_extra_body_is_read_as_if_it_were_the_body() -> None:
    """OpenAI's own clients unpack it, others send it as it is."""
    asked = chat(extra_body={"top_k": 5, "max_new_tokens": 7}).asked().sampling
    assert (asked.top_k, asked.max_tokens) == (5, 7)
    assert chat(extra_body={"reasoning": {"effort": "low"}}).reasoning_effort == "low"
    assert refused("chat", extra_body={"mirostat": 2}).param == "mirostat"
    assert refused("chat", extra_body={"top_k": 5}, top_k=6).status == 400
    assert refused("chat", extra_body="top_k").param == "extra_body"


@pytest.mark.parametrize("kind", KINDS)
def test_a_streams_usage_is_asked_for_in_two_ways(kind: RequestKind) -> None:
    """OpenAI's, and OpenRouter's."""
    for fields in ({"usage": {"include": True}}, {"stream_options": {"include_usage": True}}):
        request = read(MODELS[kind], {**LEAST[kind], "stream": True, **fields})
        assert isinstance(request, SamplingFields)
        assert request.include_usage
    plain = read(MODELS[kind], {**LEAST[kind], "stream": True, "usage": {"include": False}})
    assert isinstance(plain, SamplingFields)
    assert not plain.include_usage


def test_two_names_of_one_field_must_agree() -> None:
    """The same value twice is fine."""
    assert chat(max_tokens=3, max_completion_tokens=3).asked().sampling.max_tokens == 3
    error = refused("chat", max_tokens=3, max_new_tokens=4)
    assert error.message == (
        "max_tokens and max_new_tokens have conflicting values; send only one of them."
    )
    assert refused("chat", reasoning_effort="low", reasoning={"effort": "high"}).status == 400
    assert refused("chat", guided_regex="a", structured_outputs={"regex": "b"}).status == 400
    json_object = {"type": "json_object"}
    assert refused("chat", guided_regex="a", response_format=json_object).status == 400
    assert chat(guided_regex="a", response_format={"type": "text"}).structured_outputs


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({"reasoning": {"effort": "high"}}, "high"),
        ({"reasoning": {"enabled": True, "summary": "auto"}}, None),
        ({"reasoning": {"enabled": False}}, "none"),
        ({"chat_template_kwargs": {"reasoning_effort": "low"}}, "low"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, "none"),
        ({"chat_template_kwargs": {"enable_thinking": True}}, None),
        ({"enable_thinking": False}, "none"),
        ({"think": "high"}, "high"),
        ({"thinking": {"type": "disabled"}}, "none"),
        ({"thinking": {"type": "enabled"}}, None),
    ],
)
def test_the_effort_is_read_from_where_clients_put_it(
    fields: dict[str, Any], effort: str | None
) -> None:
    """The prompt is rendered from it."""
    assert chat(**fields).reasoning_effort == effort


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reasoning", "high"),
        ("reasoning", {"max_tokens": 100}),
        ("thinking", {"type": "enabled", "budget_tokens": 100}),
        ("reasoning", {"enabled": False, "effort": "high"}),
        ("reasoning", {"effort": "extreme"}),
        ("reasoning", {"exclude": "yes"}),
        ("chat_template_kwargs", {"builtin_tools": ["python"]}),
        ("chat_template_kwargs", {"model_identity": "Bob"}),
        ("guided_json", "{"),
        ("guided_choice", []),
        ("structured_outputs", {}),
        ("structured_outputs", {"regex": "a", "choice": ["b"]}),
        ("response_format", {"type": "text", "schema": {}}),
        ("stop_token_ids", [200007]),
        ("bad_words", ["incomprehensibilities and more"]),
    ],
)
def test_what_a_field_cannot_say_is_refused_by_its_name(name: str, value: Any) -> None:
    """Also where it stands for another."""
    error = refused("chat", **{name: value})
    assert error.param is not None
    assert error.param.startswith(name)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"structured_outputs": {"json": SCHEMA}}, {"json": SCHEMA}),
        ({"structured_outputs": {"json_object": True}}, {"json_object": True}),
        ({"structured_outputs": {"regex": "a+", "json": None}}, {"regex": "a+"}),
        ({"guided_json": SCHEMA}, {"json": SCHEMA}),
        ({"guided_json": '{"type": "object"}'}, {"json": {"type": "object"}}),
        ({"json_schema": '{"type": "object"}'}, {"json": {"type": "object"}}),
        ({"guided_regex": "a+"}, {"regex": "a+"}),
        ({"regex": "a+"}, {"regex": "a+"}),
        ({"guided_choice": ["yes", "no"]}, {"choice": ["yes", "no"]}),
        ({"guided_grammar": 'root ::= "a"'}, {"grammar": 'root ::= "a"'}),
        ({"ebnf": 'root ::= "a"'}, {"grammar": 'root ::= "a"'}),
        ({"guided_decoding": {"choice": ["a"], "backend": "xgrammar"}}, {"choice": ["a"]}),
    ],
)
def test_structured_outputs_have_one_form(fields: dict[str, Any], wanted: Any) -> None:
    """Whatever they were called."""
    outputs = chat(**fields).structured_outputs
    assert outputs is not None
    assert outputs.model_dump(by_alias=True, exclude_none=True) == wanted


@pytest.mark.parametrize(
    "wanted",
    [
        {"type": "json_object", "schema": SCHEMA},
        {"type": "json_object", "value": SCHEMA},
        {"type": "json", "value": SCHEMA},
        {"type": "json_schema", "schema": SCHEMA},
    ],
)
def test_a_schema_beside_the_type_reaches_the_grammar(wanted: dict[str, Any]) -> None:
    """As it was written."""
    assert chat(response_format=wanted).conversation().wanted.answer == JsonAnswer(SCHEMA)


def test_a_schema_needs_no_name() -> None:
    """llama.cpp's examples have none; it is then held, and not shown."""
    wanted = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
    answer = chat(response_format=wanted).conversation().wanted.answer
    assert isinstance(answer, JsonAnswer)
    assert (answer.schema, answer.name) == (SCHEMA, "")


def test_a_top_p_of_zero_is_greedy() -> None:
    """It leaves the likeliest token alone; SGLang takes no zero."""
    asked = chat(top_p=0, temperature=1.5).asked().sampling
    assert (asked.temperature, asked.top_p) == (0.0, 1.0)
    assert chat(top_k=0).asked().sampling.top_k == -1


def test_how_an_answer_ends_reaches_the_engine() -> None:
    """No more tokens are held back than there may be."""
    asked = chat(min_tokens=5, stop_token_ids=[42, RETURN]).asked().sampling.within(1000, 0)
    assert asked.min_tokens == 5
    assert set(asked.stop_ids) == {RETURN, CALL, 42}
    assert chat(min_tokens=5).asked().sampling.within(3, 0).min_tokens == 3
    assert chat(ignore_eos=True).asked().sampling.ignore_eos
    assert refused("chat", min_tokens=5, max_tokens=4).status == 400
    assert refused("chat", ignore_eos=True, stop_token_ids=[42]).status == 400


def test_words_and_tokens_are_banned_and_allowed_by_their_bias() -> None:
    """A word also after a space."""
    ids = {encode("cat")[0], encode(" cat")[0]}
    assert chat(bad_words=["cat"]).asked().sampling.logit_bias == dict.fromkeys(ids, -100.0)
    sampling = text(allowed_token_ids=[5], logit_bias={"5": 1}).asked().sampling
    assert sampling.within(9, 0).logit_bias == {5: 1001.0}


def test_the_page_of_fields_is_up_to_date() -> None:
    """`python -m builder.openapi` writes it."""
    assert fields_page() == FIELDS_PAGE.read_text()

"""Arguments are sent as they arrive, and repaired at a natural end if there is only one repair."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.harmony.parsing.call_arguments import Arguments

Json = Any

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=5), values, max_size=4)


def sent(pieces: list[str], *, natural: bool = True, code: bool = False) -> str:
    arguments = Arguments(code=code)
    return "".join([*map(arguments.feed, pieces), arguments.close(natural=natural)])


def test_each_piece_is_sent_at_once() -> None:
    arguments = Arguments()
    pieces = ['{"ci', 'ty":"', "Par", 'is, the city"', ": 1 }", "\n"]
    assert [arguments.feed(piece) for piece in pieces] == pieces
    assert arguments.close(natural=True) == ""


def test_a_comma_waits_for_what_follows() -> None:
    arguments = Arguments()
    assert arguments.feed('{"a":1, ') == '{"a":1'
    assert arguments.feed("\n") == ""
    assert arguments.feed('"b"') == ', \n"b"'


def test_after_a_trailing_comma_everything_waits_for_the_end() -> None:
    """Only then is it known whether the comma is the only error."""
    arguments = Arguments()
    assert arguments.feed('{"a":[1,]') == '{"a":[1'
    assert arguments.feed(',"b":2}') == ""
    assert arguments.close(natural=True) == '],"b":2}'


def test_a_trailing_comma_stays_if_there_are_other_errors() -> None:
    assert sent(['{"a":[1,],"b":NaN}']) == '{"a":[1,],"b":NaN}'


def test_a_comma_in_a_string_is_sent_at_once() -> None:
    assert Arguments().feed('{"a":"b,') == '{"a":"b,'


def test_missing_brackets_are_added_only_at_a_natural_end() -> None:
    assert sent(['{"a":[{"b":1'], natural=True) == '{"a":[{"b":1}]}'
    assert sent(['{"a":[{"b":1'], natural=False) == '{"a":[{"b":1'


def test_truncated_arguments_are_sent_unchanged() -> None:
    assert sent(['{"a":1, '], natural=False) == '{"a":1, '
    assert sent(['{"a":[1,]}'], natural=False) == '{"a":[1,]}'
    assert sent([], natural=False) == ""


def test_missing_arguments_become_an_empty_object() -> None:
    assert json.loads(sent([])) == {}
    assert json.loads(sent([" \n"])) == {}


def test_code_is_sent_unchanged() -> None:
    assert sent(["[1,]"], code=True) == "[1,]"
    assert sent(["print("], code=True) == "print("
    assert sent([], code=True) == ""


@pytest.mark.parametrize(
    "written",
    [
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":-Infinity}',
        '{"a":"b',
        '{"a":"b\\',
        '{"a":',
        '{"a" 1}',
        '{"a":1}}',
        '{"a":1]',
        '{"a":1}{"a":1}',
        "{'a':1,}",
        "{,}{",
        '{"a":1,,}',
        "prose, [1,]",
        "{" * 5_000,
        '{"a":' + "[" * 200_000,
        '{"a":' + "1" * 5_000 + ",]",
    ],
)
def test_any_other_invalid_json_is_sent_unchanged(written: str) -> None:
    assert sent([written]) == written


@pytest.mark.parametrize(
    ("so_far", "unfinished"),
    [("", False), ('{"a":1', True), ('{"a":"}', True), ('{"a":"\\"}', True), ('{"a":[1]}', False)],
)
def test_unfinished_while_a_bracket_or_a_string_is_open(so_far: str, unfinished: bool) -> None:
    arguments = Arguments()
    arguments.feed(so_far)
    assert arguments.unfinished is unfinished


@given(objects, st.booleans(), st.sampled_from([None, 1]), st.data())
def test_json_is_sent_as_written(
    value: Json, ascii_only: bool, indent: int | None, data: st.DataObject
) -> None:
    """However it is split and formatted."""
    written = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert sent(split(written, data)) == written


@given(objects, st.data())
def test_only_trailing_commas_are_removed(value: Json, data: st.DataObject) -> None:
    """There is one after the last value of each object and array."""
    lines = json.dumps(value, indent=1).split("\n")
    for i, after in enumerate(lines[1:]):
        if after.lstrip()[:1] in ("}", "]") and lines[i][-1] not in "{[":
            lines[i] += ","
    assert json.loads(sent(split("\n".join(lines), data))) == value


@given(objects, st.data())
def test_only_missing_brackets_are_added(value: Json, data: st.DataObject) -> None:
    """All of the final ones are missing."""
    assert json.loads(sent(split(json.dumps(value).rstrip("]}"), data))) == value


@given(st.text('{}[],:"\\ a1\n', max_size=40), st.booleans(), st.data())
def test_any_split_sends_the_same(written: str, natural: bool, data: st.DataObject) -> None:
    pieces = split(written, data)
    assert sent(pieces, natural=natural) == sent([written], natural=natural)


@given(st.text('{}[],:"\\ a1\n', max_size=40))
def test_what_is_sent_is_json_or_what_was_written(written: str) -> None:
    found = sent([written])
    assert found == written or json.loads(found) is not None


def split(text: str, data: st.DataObject) -> list[str]:
    at = data.draw(st.integers(0, len(text)))
    to = data.draw(st.integers(at, len(text)))
    return [text[:at], text[at:to], text[to:]]

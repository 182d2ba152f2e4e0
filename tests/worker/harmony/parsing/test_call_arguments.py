"""Arguments are sent as they come, and mended at a natural end where only one mend is possible."""

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


def test_after_a_comma_too_much_all_waits_for_the_end() -> None:
    """Only then is it known whether the comma is all that is wrong."""
    arguments = Arguments()
    assert arguments.feed('{"a":[1,]') == '{"a":[1'
    assert arguments.feed(',"b":2}') == ""
    assert arguments.close(natural=True) == '],"b":2}'


def test_a_comma_too_much_stays_where_more_is_wrong() -> None:
    assert sent(['{"a":[1,],"b":NaN}']) == '{"a":[1,],"b":NaN}'


def test_a_comma_in_a_string_is_sent_at_once() -> None:
    assert Arguments().feed('{"a":"b,') == '{"a":"b,'


def test_a_missing_bracket_comes_at_a_natural_end_alone() -> None:
    assert sent(['{"a":[{"b":1'], natural=True) == '{"a":[{"b":1}]}'
    assert sent(['{"a":[{"b":1'], natural=False) == '{"a":[{"b":1'


def test_what_a_limit_cuts_is_sent_as_it_is() -> None:
    assert sent(['{"a":1, '], natural=False) == '{"a":1, '
    assert sent(['{"a":[1,]}'], natural=False) == '{"a":[1,]}'
    assert sent([], natural=False) == ""


def test_no_arguments_are_an_empty_object() -> None:
    assert json.loads(sent([])) == {}
    assert json.loads(sent([" \n"])) == {}


def test_code_is_sent_as_it_is() -> None:
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
def test_anything_else_stays_raw(written: str) -> None:
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
    """At any split, in any way to write it."""
    written = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert sent(split(written, data)) == written


@given(objects, st.data())
def test_commas_too_much_go_and_nothing_else(value: Json, data: st.DataObject) -> None:
    """A comma after the last value of each object and array."""
    lines = json.dumps(value, indent=1).split("\n")
    for i, after in enumerate(lines[1:]):
        if after.lstrip()[:1] in ("}", "]") and lines[i][-1] not in "{[":
            lines[i] += ","
    assert json.loads(sent(split("\n".join(lines), data))) == value


@given(objects, st.data())
def test_missing_brackets_come_and_nothing_else(value: Json, data: st.DataObject) -> None:
    """All of the last ones."""
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

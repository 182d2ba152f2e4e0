"""The benchmark of parser and renderer: that its sides do the same work."""

import asyncio

import pytest

from benchmarks.parsing import (
    COMPLETIONS,
    FORMS,
    SGLANGS_LONGEST,
    Parsed,
    completion,
    for_openai_harmony,
    for_worker,
    kilobytes,
    parser_figures,
    parsers,
    rendered_by_openai_harmony,
    renderer_figures,
    renderers,
)
from benchmarks.prompt_stall import history
from worker.harmony import render
from worker.harmony.vocabulary import encoding


@pytest.mark.parametrize("tokens", COMPLETIONS)
@pytest.mark.parametrize("form", FORMS)
def test_a_completion_is_as_long_as_asked_for(form: str, tokens: int) -> None:
    """To 60 tokens, header included; and its pieces are the ids' texts."""
    read = completion(form, tokens)
    assert abs(len(read.ids) - tokens) <= 60
    assert "".join(read.pieces) == encoding().decode(read.ids)


@pytest.mark.parametrize("form", FORMS)
def test_all_parsers_read_the_same(form: str) -> None:
    """The words, and each of them in its place."""
    read = completion(form, 100)
    parsed = {name: parse(read) for name, parse in parsers(form, 100).items()}
    assert len(set(parsed.values())) == 1
    field = "arguments" if form == "call" else form
    assert "sunny" in getattr(parsed["worker"], field)
    assert [bool(text) for text in parsed["worker"]] == [name == field for name in Parsed._fields]


def test_sglang_takes_no_part_in_what_is_long() -> None:
    """Its detector of calls would take minutes."""
    assert "SGLang" in parsers("text", SGLANGS_LONGEST)
    assert "SGLang" not in parsers("text", SGLANGS_LONGEST + 1)


def test_each_parser_is_measured_in_each_round() -> None:
    """By the token."""
    figures = asyncio.run(parser_figures("call", 50, 2))
    assert {figure.side for figure in figures} == set(parsers("call", 50))
    for figure in figures:
        assert len(figure.values) == 2
        assert min(figure.values) > 0


def test_both_renderers_write_the_same_prompt() -> None:
    """But for the place of a call's recipient, in the role's header or in the channel's."""
    messages = history(seed=1, tokens=1500)
    ours = encoding().decode(render(for_worker(messages)))
    theirs = encoding().decode(rendered_by_openai_harmony(for_openai_harmony(messages)))
    role, channel = (
        " to=functions.read<|channel|>commentary ",
        "<|channel|>commentary to=functions.read ",
    )
    assert theirs.count(role) == 3
    assert theirs.replace(role, channel) == ours


def test_the_size_of_a_history() -> None:
    """That of all its texts."""
    messages = [
        {"role": "user", "content": "é" * 500},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "x" * 98},
    ]
    assert kilobytes(messages) == pytest.approx(1.1)


def test_each_renderer_is_measured_in_each_round() -> None:
    """By the kilobyte."""
    figures = asyncio.run(renderer_figures(500, 2))
    assert {figure.side for figure in figures} == set(renderers(500))
    for figure in figures:
        assert len(figure.values) == 2
        assert min(figure.values) > 0

"""Every output in the catalogue parses correctly: whole, token by token, and at random splits."""

import random
from typing import Any

import pytest

from tests.support.catalogue import CATALOGUE, Case
from worker.api.chat.answer import MessageFold, delta_of
from worker.harmony import Event, Finished, Parser

MARKER = "<|"


def message(events: list[Event]) -> dict[str, Any]:
    fold = MessageFold()
    for event in events:
        fold.add(delta_of([event]))
    return fold.message()


def read(case: Case, pieces: list[list[int]]) -> list[Event]:
    parser = Parser(case.openai_tools)
    return [event for ids in pieces for event in parser.feed(ids)] + parser.finish()


def check(case: Case, events: list[Event]) -> None:
    found = message(events)
    calls = [(c["function"]["name"], c["function"]["arguments"]) for c in found["tool_calls"] or []]
    assert found["content"] == case.content
    assert found["reasoning"] == case.reasoning
    assert calls == list(case.calls)
    assert [e for e in events if isinstance(e, Finished)] == [Finished(case.complete)]


each_case = pytest.mark.parametrize("case", CATALOGUE, ids=lambda case: case.reason)


def test_the_catalogue_is_large_and_its_reasons_are_unique() -> None:
    assert len(CATALOGUE) >= 170
    assert len({(case.reason, case.output) for case in CATALOGUE}) == len(CATALOGUE)


@each_case
def test_whole(case: Case) -> None:
    check(case, read(case, [case.ids]))


@each_case
def test_token_by_token(case: Case) -> None:
    check(case, read(case, [[token] for token in case.ids]))


@each_case
def test_at_random_splits(case: Case) -> None:
    rng = random.Random(case.output)  # noqa: S311 - a seed is wanted
    for _ in range(5):
        ids, pieces = case.ids, list[list[int]]()
        while ids:
            size = rng.randint(0, 6)
            pieces.append(ids[:size])
            ids = ids[size:]
        check(case, read(case, pieces))


@each_case
def test_no_marker_is_visible(case: Case) -> None:
    """Not even in a call's name, unless the model itself typed one as text."""
    typed = case.content is not None and MARKER in case.content
    shown = str(message(read(case, [case.ids])))
    assert typed or MARKER not in shown


@each_case
def test_wherever_an_output_is_cut_no_call_has_half_a_name(case: Case) -> None:
    """Wherever a limit truncates an output, each call has a complete name."""
    names = {name for name, _ in case.calls} | set(case.tools)
    for end in range(len(case.ids)):
        calls = message(read(case, [case.ids[:end]]))["tool_calls"] or []
        assert {call["function"]["name"] for call in calls} <= names

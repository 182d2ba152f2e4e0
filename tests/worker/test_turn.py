"""One turn: which of the parser's events may be shown, and what ends it."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.generation import Step
from worker.harmony import Event, MessageBegun, MessageEnded, Parser, Text, ToolCallBegun
from worker.harmony.conversation import Called, Said, Thought
from worker.harmony.vocabulary import encoding
from worker.turn import Ending, Turn, TurnOptions

PREAMBLE = "<|channel|>commentary<|message|>{}<|end|><|start|>assistant"
ANSWER = "<|channel|>final<|message|>{}<|return|>"
CALL = "<|start|>assistant<|channel|>commentary to=functions.{}<|message|>{{}}<|call|>"


def told(output: str, size: int, options: TurnOptions) -> tuple[list[Event], Ending | None]:
    """What a turn tells of this output, that comes `size` ids at a time, and its ending."""
    ids = encoding().encode(output, allowed_special="all")
    pieces = [ids[at : at + size] for at in range(0, len(ids), size)]
    turn, events = Turn(Parser(), options), list[Event]()
    for number, piece in enumerate(pieces, start=1):
        reason = "stop" if number == len(pieces) else None
        events += turn.take(Step(piece, reason, 1, 0, number)).events
        if turn.ending is not None:
            break
    return events, turn.ending


def text_of(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_stop_string_may_begin_in_a_preamble_and_end_in_the_answer(size: int) -> None:
    """A reader sees one text, so no stop string shows in it."""
    output = PREAMBLE.format("One, EN") + ANSWER.format("D, two")
    events, ending = told(output, size, TurnOptions(stop=["END"]))
    assert text_of(events) == "One, "
    assert ending == Ending("stop", "END")


@pytest.mark.parametrize("size", [1, 3, 100])
def test_its_messages_are_what_it_told(size: int) -> None:
    """As a client sends them back: reasoning, a preamble, calls."""
    arguments = '{"city": "Zürich", "days": [1, 2]}'
    output = (
        "<|channel|>analysis<|message|>Hm, ü.<|end|><|start|>assistant"
        + PREAMBLE.format("I look 🌦 it up.").removesuffix("<|start|>assistant")
        + CALL.format("weather").replace("{}", arguments)
    )
    ids = encoding().encode(output, allowed_special="all")
    turn = Turn(Parser(call_id=lambda: "call_1"), TurnOptions())
    for at in range(0, len(ids), size):
        turn.take(Step(ids[at : at + size], "stop" if at + size >= len(ids) else None))
    assert turn.ending == Ending("calls")
    assert turn.ids.slice().tolist() == ids
    assert turn.messages == [
        Thought("Hm, ü."),
        Said("I look 🌦 it up.", "commentary"),
        Called("weather", arguments, "call_1"),
    ]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_text_that_waits_for_a_stop_string_stays_in_its_message(size: int) -> None:
    """The message's end waits behind it."""
    output = PREAMBLE.format("One, EN") + ANSWER.format("X, two")
    events, ending = told(output, size, TurnOptions(stop=["END"]))
    messages = list[str]()
    for event in events:
        if isinstance(event, MessageBegun):
            messages.append("")
        elif isinstance(event, Text):
            messages[-1] += event.text
    assert messages == ["One, EN", "X, two"]
    assert ending == Ending("stop")


@given(
    st.lists(st.text("ab", max_size=6), min_size=1, max_size=4),
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=2),
    st.integers(1, 4),
)
def test_no_stop_string_shows_and_no_message_is_torn(
    texts: list[str], stop: list[str], size: int
) -> None:
    """Whatever messages the text comes in: it is shown up to the first stop string's beginning."""
    output = "<|start|>assistant".join(
        "<|channel|>final<|message|>" + text + "<|end|>" for text in texts
    )
    events, ending = told(output, size, TurnOptions(stop=stop))
    whole = "".join(texts)
    found = [(whole.find(s) + len(s), whole.find(s)) for s in stop if s in whole]
    assert text_of(events) == (whole[: min(found)[1]] if found else whole)
    assert ending is not None
    assert (ending.stop_string is not None) == bool(found)
    boundaries = [type(e) for e in events if isinstance(e, MessageBegun | MessageEnded)]
    assert boundaries[::2] == [MessageBegun] * len(boundaries[::2])
    assert boundaries[1::2] == [MessageEnded] * len(boundaries[1::2])


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_turn_of_one_call_ends_before_the_second_begins(size: int) -> None:
    """Nothing is told of the second call, its message's beginning included."""
    output = CALL.format("a").removeprefix("<|start|>assistant") + CALL.format("b")
    events, ending = told(output, size, TurnOptions(one_call=True))
    begun = [event for event in events if isinstance(event, MessageBegun | ToolCallBegun)]
    assert [type(event) for event in begun] == [MessageBegun, ToolCallBegun]
    assert isinstance(events[-1], MessageEnded)
    assert ending == Ending("calls")

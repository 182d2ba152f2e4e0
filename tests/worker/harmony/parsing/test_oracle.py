"""On well-formed text the parser says what `openai_harmony.StreamableParser` says, as it says it.

Two differences are meant: a call of a function without arguments has `{}`, and a trailing comma or
a role may lie in what comes last, so a comma and an `assistant` wait for the next token.
"""

import random
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai_harmony import Role, StreamableParser, TextContent

from tests.support.conversations import conversation
from worker.harmony import (
    Event,
    Finished,
    MessageBegun,
    MessageEnded,
    Parser,
    Reasoning,
    Text,
    ToolCallArguments,
    ToolCallBegun,
)
from worker.harmony.vocabulary import encode, encoding

pytestmark = pytest.mark.slow

CONVERSATIONS = 5_000
WAITING = re.compile(r"(,\s*|assistant)?")
Told = list[tuple[str, str]]
"""What was said, in order: ("content" or "reasoning" or a call's number and name, text)."""


def add(told: Told, kind: str, text: str) -> None:
    if told and told[-1][0] == kind:
        told[-1] = (kind, told[-1][1] + text)
    elif text or kind not in ("content", "reasoning"):
        told.append((kind, text))


def kind_of(channel: str | None, recipient: str | None, number: int) -> str:
    if recipient:
        return f"{number} {recipient.removeprefix('functions.')}"
    return "reasoning" if channel == "analysis" else "content"


def by_oracle(ids: list[int]) -> Told:
    """What the oracle says in messages."""
    oracle = StreamableParser(encoding(), role=Role.ASSISTANT)
    for token in ids:
        oracle.process(token)
    told: Told = []
    calls = 0
    for message in oracle.messages:
        if message.author.role == Role.ASSISTANT:
            text = "".join(part.to_dict()["text"] for part in message.content)
            if message.recipient not in (None, "python"):
                text = text or "{}"
            add(told, kind_of(message.channel, message.recipient, calls), text)
            calls += message.recipient is not None
    return told


def add_events(told: Told, names: list[str], events: list[Event]) -> None:
    for event in events:
        match event:
            case Text(text):
                add(told, "content", text)
            case Reasoning(text):
                add(told, "reasoning", text)
            case ToolCallBegun(index, _, name):
                names.append(f"{index} {name}")
                add(told, names[index], "")
            case ToolCallArguments(index, text):
                add(told, names[index], text)
            case MessageBegun() | MessageEnded() | Finished():
                pass


def joined(events: list[Event]) -> Told:
    told: Told = []
    add_events(told, [], events)
    return told


def test_five_thousand_conversations_as_messages(capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(20_250_805)  # noqa: S311 - a seed is wanted
    tokens = 0
    for _ in range(CONVERSATIONS):
        ids = conversation(rng)
        tokens += len(ids)
        parser = Parser()
        events = parser.feed(ids) + parser.finish()
        assert joined(events) == by_oracle(ids), encoding().decode(ids)
        assert events[-1] == Finished(complete=True)
    with capsys.disabled():
        sys.stdout.write(f"\n{CONVERSATIONS} conversations ({tokens} tokens): as the oracle's\n")


def meant(channel: str | None, recipient: str | None) -> str:
    """The channel that a message is meant for: a call on `final`, say, for commentary."""
    if recipient:
        return "analysis" if channel == "analysis" else "commentary"
    return channel if channel in ("analysis", "commentary") else "final"


def test_each_message_is_told_apart() -> None:
    """Where it begins, on which channel and to whom, and which ids its body is."""
    rng = random.Random(21)  # noqa: S311 - a seed is wanted
    for _ in range(1_000):
        ids = conversation(rng)
        oracle, parser = StreamableParser(encoding(), role=Role.ASSISTANT), Parser()
        for token in ids:
            oracle.process(token)
        events = parser.feed(ids) + parser.finish()
        begun = [event for event in events if isinstance(event, MessageBegun)]
        ended = [event for event in events if isinstance(event, MessageEnded)]
        bodies = [encoding().decode(ids[each.span.start : each.span.stop]) for each in ended]
        expected = [
            (
                meant(message.channel, message.recipient),
                message.recipient and message.recipient.removeprefix("functions."),
                "".join(
                    content.text for content in message.content if isinstance(content, TextContent)
                ),
            )
            for message in oracle.messages
            if message.author.role == Role.ASSISTANT
        ]
        assert [
            (each.channel, each.recipient, body) for each, body in zip(begun, bodies, strict=True)
        ] == expected


def test_conversations_as_streams() -> None:
    """What the oracle has told after an id, the parser has told too, but for what has to wait."""
    rng = random.Random(8)  # noqa: S311 - a seed is wanted
    for _ in range(1_000):
        parser, told, names = Parser(), Told(), list[str]()
        oracle, expected, calls = StreamableParser(encoding(), role=Role.ASSISTANT), Told(), 0
        for token in conversation(rng):
            oracle.process(token)
            add_events(told, names, parser.feed([token]))
            if oracle.last_content_delta and oracle.current_role == Role.ASSISTANT:
                kind = kind_of(oracle.current_channel, oracle.current_recipient, calls)
                add(expected, kind, oracle.last_content_delta)
            by_us = [m for m in oracle.messages if m.author.role == Role.ASSISTANT]
            calls = sum(m.recipient is not None for m in by_us)
            assert_lags_by_little(told, expected)


def assert_lags_by_little(told: Told, expected: Told) -> None:
    """At times the oracle lags: it waits for a token whose last character is not whole yet."""
    streamed = {kind for kind, _ in expected}
    in_both = [(kind, text) for kind, text in told if kind in streamed or text != "{}"]
    ours, theirs = characters(in_both), characters(expected)
    both = min(len(ours), len(theirs))
    assert ours[:both] == theirs[:both]
    assert WAITING.fullmatch("".join(character for _, character in theirs[both:]))


def characters(told: Told) -> list[tuple[str, str]]:
    return [(kind, character) for kind, text in told for character in text]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 8), max_size=40))
def test_any_split_gives_the_same_events(seed: int, sizes: list[int]) -> None:
    ids = conversation(random.Random(seed))  # noqa: S311 - a seed is wanted
    whole, split = Parser(), Parser()
    events: list[Event] = []
    at = 0
    for size in sizes:
        events += split.feed(ids[at : at + size])
        at += size
    events += split.feed(ids[at:]) + split.finish()
    assert joined(events) == joined(whole.feed(ids) + whole.finish())


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40))
def test_any_text_comes_back_as_it_is(text: str) -> None:
    parser = Parser()
    header = encoding().encode("<|channel|>final<|message|>", allowed_special="all")
    events = parser.feed(header) + parser.feed(encode(text)) + parser.finish()
    assert "".join(e.text for e in events if isinstance(e, Text)) == text


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(-5, 300_000), max_size=60), st.data())
def test_any_ids_at_any_split_give_the_same_events(ids: list[int], data: st.DataObject) -> None:
    """Ids that are no Harmony at all, out of range too."""
    at = data.draw(st.integers(0, len(ids)))
    whole, split = Parser(), Parser()
    events = split.feed(ids[:at]) + split.feed(ids[at:]) + split.finish()
    assert joined(events) == joined(whole.feed(ids) + whole.finish())

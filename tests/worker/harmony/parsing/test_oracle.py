"""On well-formed text the parser agrees with `openai_harmony.StreamableParser`, token by token.

Two differences are intended: a call without arguments gets `{}`, and a final comma or `assistant`
waits for the next token, since it may be a trailing comma or the role of a header.
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
Output = list[tuple[str, str]]
"""The output in order: ("content" or "reasoning" or a call's number and name, text)."""


def add(output: Output, kind: str, text: str) -> None:
    if output and output[-1][0] == kind:
        output[-1] = (kind, output[-1][1] + text)
    elif text or kind not in ("content", "reasoning"):
        output.append((kind, text))


def kind_of(channel: str | None, recipient: str | None, number: int) -> str:
    if recipient:
        return f"{number} {recipient.removeprefix('functions.')}"
    return "reasoning" if channel == "analysis" else "content"


def by_oracle(ids: list[int]) -> Output:
    """The oracle's messages."""
    oracle = StreamableParser(encoding(), role=Role.ASSISTANT)
    for token in ids:
        oracle.process(token)
    output: Output = []
    calls = 0
    for message in oracle.messages:
        if message.author.role == Role.ASSISTANT:
            text = "".join(part.to_dict()["text"] for part in message.content)
            if message.recipient not in (None, "python"):
                text = text or "{}"
            add(output, kind_of(message.channel, message.recipient, calls), text)
            calls += message.recipient is not None
    return output


def add_events(output: Output, names: list[str], events: list[Event]) -> None:
    for event in events:
        match event:
            case Text(text):
                add(output, "content", text)
            case Reasoning(text):
                add(output, "reasoning", text)
            case ToolCallBegun(index, _, name):
                names.append(f"{index} {name}")
                add(output, names[index], "")
            case ToolCallArguments(index, text):
                add(output, names[index], text)
            case MessageBegun() | MessageEnded() | Finished():
                pass


def joined(events: list[Event]) -> Output:
    output: Output = []
    add_events(output, [], events)
    return output


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
        sys.stderr.write(f"\n{CONVERSATIONS} conversations ({tokens} tokens): as the oracle's\n")


def intended_channel(channel: str | None, recipient: str | None) -> str:
    """The channel where a message belongs: for a call on `final`, for example, commentary."""
    if recipient:
        return "analysis" if channel == "analysis" else "commentary"
    return channel if channel in ("analysis", "commentary") else "final"


def test_message_boundaries_match_the_oracle() -> None:
    """Where each begins, its channel and recipient, and the ids of its body."""
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
                intended_channel(message.channel, message.recipient),
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
    """After each id, the parser has emitted what the oracle has, except for text that must wait."""
    rng = random.Random(8)  # noqa: S311 - a seed is wanted
    for _ in range(1_000):
        parser, output, names = Parser(), Output(), list[str]()
        oracle, expected, calls = StreamableParser(encoding(), role=Role.ASSISTANT), Output(), 0
        for token in conversation(rng):
            oracle.process(token)
            add_events(output, names, parser.feed([token]))
            if oracle.last_content_delta and oracle.current_role == Role.ASSISTANT:
                kind = kind_of(oracle.current_channel, oracle.current_recipient, calls)
                add(expected, kind, oracle.last_content_delta)
            by_us = [m for m in oracle.messages if m.author.role == Role.ASSISTANT]
            calls = sum(m.recipient is not None for m in by_us)
            assert_lags_by_little(output, expected)


def assert_lags_by_little(output: Output, expected: Output) -> None:
    """Sometimes the oracle lags: it waits while the last character is incomplete."""
    streamed = {kind for kind, _ in expected}
    in_both = [(kind, text) for kind, text in output if kind in streamed or text != "{}"]
    ours, theirs = characters(in_both), characters(expected)
    both = min(len(ours), len(theirs))
    assert ours[:both] == theirs[:both]
    assert WAITING.fullmatch("".join(character for _, character in theirs[both:]))


def characters(output: Output) -> list[tuple[str, str]]:
    return [(kind, character) for kind, text in output for character in text]


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
def test_any_text_is_returned_unchanged(text: str) -> None:
    parser = Parser()
    header = encoding().encode("<|channel|>final<|message|>", allowed_special="all")
    events = parser.feed(header) + parser.feed(encode(text)) + parser.finish()
    assert "".join(e.text for e in events if isinstance(e, Text)) == text


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(-5, 300_000), max_size=60), st.data())
def test_any_ids_at_any_split_give_the_same_events(ids: list[int], data: st.DataObject) -> None:
    """Ids that are not Harmony at all, including out-of-range ones."""
    at = data.draw(st.integers(0, len(ids)))
    whole, split = Parser(), Parser()
    events = split.feed(ids[:at]) + split.feed(ids[at:]) + split.finish()
    assert joined(events) == joined(whole.feed(ids) + whole.finish())

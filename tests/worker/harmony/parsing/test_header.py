"""A header's words: which belong to it, where it ends, and its address."""

import pytest

from worker.harmony.conversation import Tool
from worker.harmony.events import Channel, Kind
from worker.harmony.parsing.address import Address
from worker.harmony.parsing.header import Header, Origin
from worker.harmony.tool_names import ToolNames
from worker.harmony.vocabulary import CHANNEL, CONSTRAIN

TOOLS = ToolNames([Tool("get_weather"), Tool("fs.read")])


def header(*parts: int | str, origin: Origin = Origin.PROMPT, after_call: bool = False) -> Header:
    """A header of markers and texts that do not end it."""
    new = Header(origin, TOOLS, after_call=after_call)
    for part in parts:
        if isinstance(part, int):
            new.add_marker(part)
        else:
            assert new.add_text(part.encode()) is None
    return new


def call(name: str, channel: Channel = "commentary") -> Address:
    return Address(Kind.CALL, name, channel)


def test_the_recipient_makes_a_call_on_any_channel() -> None:
    for channel in ("commentary", "analysis", "final", "anything"):
        found = header(CHANNEL, f"{channel} to=functions.fs.read").address()
        assert found == call("fs.read", "analysis" if channel == "analysis" else "commentary")


def test_the_channel_distinguishes_reasoning_from_text() -> None:
    assert header(CHANNEL, "analysis").address() == Address(Kind.REASONING, channel="analysis")
    assert header(CHANNEL, "commentary").address() == Address(Kind.TEXT, channel="commentary")
    assert header(CHANNEL, "final").address() == Address(Kind.TEXT)
    assert header(CHANNEL, "thoughts").address() == Address(Kind.TEXT)
    assert header().address() == Address(Kind.TEXT)


@pytest.mark.parametrize("role", ["user", "system", "developer", "tool", "tool:fs.read"])
def test_a_message_in_another_role_is_foreign(role: str) -> None:
    assert header(role, origin=Origin.START).address().kind is Kind.FOREIGN


def test_a_role_that_calls_is_a_mangled_assistant_before_any_call() -> None:
    parts = ("user to=get_weather", CHANNEL, "commentary")
    assert header(*parts, origin=Origin.START).address() == call("get_weather")
    after = header(*parts, origin=Origin.START, after_call=True)
    assert after.address().kind is Kind.FOREIGN


def test_a_tool_answers_after_a_call_and_is_called_before_one() -> None:
    parts = ("fs.read", CHANNEL, "commentary")
    assert header(*parts, origin=Origin.START).address() == call("fs.read")
    after = header(*parts, origin=Origin.START, after_call=True)
    assert after.address().kind is Kind.FOREIGN


def test_a_content_type_distinguishes_a_call_from_a_result() -> None:
    parts = ("fs.read", CHANNEL, "commentary ", CONSTRAIN, "json")
    found = header(*parts, origin=Origin.START, after_call=True).address()
    assert found == call("fs.read")


def test_a_message_to_the_assistant_is_a_result() -> None:
    tool = header("python to=assistant", CHANNEL, "final", origin=Origin.START)
    assert tool.address().kind is Kind.FOREIGN
    assert header(CHANNEL, "commentary to=assistant").address().kind is Kind.TEXT
    late = header(CHANNEL, "commentary to=assistant", after_call=True)
    assert late.address().kind is Kind.FOREIGN
    final = header(CHANNEL, "final to=assistant", after_call=True)
    assert final.address().kind is Kind.TEXT


def test_python_is_a_tool_but_a_language_on_final() -> None:
    assert header(CHANNEL, "analysis python").address() == call("python", "analysis")
    assert header(CHANNEL, "final python").address() == Address(Kind.TEXT)
    assert header(CHANNEL, "final to=python").address() == call("python")


@pytest.mark.parametrize("text", ["Hello there, my", "It is sunny", "日本 です 。"])
def test_text_without_a_marker_ends_the_header_after_two_words(text: str) -> None:
    """One or two words may be junk before a recipient or a channel."""
    new = header()
    assert new.add_text(text.encode()) == text.encode()
    assert not new.certain


@pytest.mark.parametrize("junk", ["?", " We call", "{", "(x", '{"', " write: the file"])
def test_an_unexpected_word_waits_for_the_next_marker(junk: str) -> None:
    """And is dropped if the header goes on."""
    new = header(CHANNEL, "commentary to=functions.fs.read", junk, CONSTRAIN, "json")
    assert new.address() == call("fs.read")


def test_undecided_text_that_is_too_long_is_text() -> None:
    new = header(CHANNEL, "final")
    assert new.add_text(b" It is sunny." + b" And warm." * 20) is not None
    assert new.certain


@pytest.mark.parametrize(
    "text", ["a", "to", " to=", "json", "fin", "get_", "functions.", "user", " "]
)
def test_text_that_may_be_a_header_waits(text: str) -> None:
    assert header().add_text(text.encode()) is None


def test_an_ambiguous_word_belongs_to_the_text_after_it() -> None:
    new = header(CHANNEL, "final", " json")
    assert new.add_text(b" is") is None
    assert new.end(natural=True) == b" json is"
    assert new.certain
    assert new.address() == Address(Kind.TEXT)


def test_an_ambiguous_word_before_a_bracket_belongs_to_the_header() -> None:
    new = header(CHANNEL, "final", " json")
    assert new.add_text(b' {"a":') == b' {"a":'


def test_a_name_before_a_bracket_is_a_call() -> None:
    new = header(CHANNEL, "commentary", " get_weather")
    assert new.add_text(b"{") is None
    assert new.add_text(b'"city":') == b'{"city":'
    assert new.address() == call("get_weather")


def test_a_name_before_prose_is_prose() -> None:
    new = header(CHANNEL, "commentary", " get_weather")
    assert new.add_text(b" is next") is None
    assert new.end(natural=True) == b" get_weather is next"
    assert new.address() == Address(Kind.TEXT, channel="commentary")


def test_a_cut_drops_a_word_that_may_be_incomplete() -> None:
    assert header(CHANNEL, "commentary to=functions.get_w").end(natural=False).strip() == b""
    new = header(CHANNEL, "commentary to=get_weather ", CONSTRAIN, "js")
    new.end(natural=False)
    assert new.address() == call("get_weather")


def test_an_end_returns_a_word_that_is_not_the_headers() -> None:
    assert header(CHANNEL, "final Yes").end(natural=True) == b" Yes"
    assert header("json").end(natural=True) == b"json"
    assert header("final").end(natural=True) == b""


def test_typed_markers_count_as_spaces() -> None:
    new = header(CHANNEL, "commentary to=fs.read", "<", "|message", "|>")
    assert new.add_text(b'{"a":') == b' {"a":'
    assert new.address() == call("fs.read")


def test_an_overlong_header_is_text() -> None:
    new = header()
    pieces = [new.add_text(b"json ") for _ in range(200)]
    assert any(pieces)
    typed = header(CHANNEL)
    assert typed.add_text(b"<|") is None
    assert any(typed.add_text(b"a") for _ in range(600))


def test_blank_until_anything_arrives() -> None:
    assert header("\n", origin=Origin.LOOSE).blank
    assert not header(CHANNEL, origin=Origin.LOOSE).blank
    assert not header(origin=Origin.START).blank


@pytest.mark.parametrize(
    ("recipient", "name"),
    [
        ("get_weather", "get_weather"),
        ("functions.get_weather", "get_weather"),
        ("Functions.GetWeather", "get_weather"),
        ("functions:get_weather", "get_weather"),
        ("fs_read", "fs.read"),
        ("fs.readjson", "fs.read"),
        ("look_up", "look_up"),
        ("functions.look_up.", "look_up"),
        ("<|channel|>look_up", "look_up"),
        ("look_up<|channel|>commentary", "look_up"),
        ("...", ""),
    ],
)
def test_names(recipient: str, name: str) -> None:
    assert TOOLS.resolve(recipient) == name

"""Junk in headers: a stray token loses no call, corrupts no arguments, and is never visible."""

import random
from collections import Counter
from typing import Any

import pytest

from tests.support.header_junk import FORMS, PARIS, Form, places, with_junk
from tests.support.scripted_engine import tokens
from worker.api.chat import message_from_tokens
from worker.api.chat.answer import MessageFold, delta_of
from worker.harmony import Parser
from worker.harmony.vocabulary import encode, token_bytes

pytestmark = pytest.mark.slow

TOOLS = [{"type": "function", "function": {"name": n}} for n in ("get_weather", "get_time")]
MARKS = [
    *(
        "?",
        "??",
        "!",
        ".",
        ",",
        ";",
        ":",
        "…",
        "–",
        "—",
        "-",
        "_",
        "*",
        "#",
        "@",
        "%",
        "&",
        "+",
        "~",
    ),
    *(
        "^",
        "/",
        "\\",
        "|",
        "'",
        '"',
        "(",
        ")",
        "<",
        ">",
        "=",
        "`",
        "👀",
        "🎉",
        "☕",
        " ",
        "\n",
        "\t",
    ),
    *("\u200b", "\u200d", "\ufeff", "\u00a0", "\u202f", "\u2060"),
]


def right(form: Form) -> dict[str, Any]:
    """The correct reading of the form, with or without junk."""
    call = ("get_weather", PARIS)
    return {
        "calls": [call] if form.kind == "call" else [],
        "reasoning": form.body if form.kind == "reasoning" else None,
        "content": form.body if form.kind == "text" else None,
    }


def said(ids: list[int], tools: Any = None) -> dict[str, Any]:
    message = message_from_tokens(ids, tools or TOOLS)
    functions = [call["function"] for call in message["tool_calls"] or ()]
    return {
        "calls": [(function["name"], function["arguments"]) for function in functions],
        "reasoning": message["reasoning"],
        "content": message["content"],
    }


def test_a_random_token_in_a_header_changes_nothing() -> None:
    """20,000 random ordinary tokens, each at a random place of a random form: at least 99 % parse
    correctly, no arguments are corrupted, and reasoning is never shown as content."""
    rng = random.Random(2026)  # noqa: S311 - a seed is wanted
    ordinary = [token for token, data in enumerate(token_bytes()) if data]
    counts: Counter[str] = Counter()
    for _ in range(20_000):
        form = rng.choice(FORMS)
        ids = with_junk(form, rng.choice(list(places(form))), [rng.choice(ordinary)])
        found, wanted = said(ids), right(form)
        counts["right"] += found == wanted
        counts["spoiled"] += any(arguments != form.body for _, arguments in found["calls"])
        counts["told"] += form.kind == "reasoning" and form.body in (found["content"] or "")
    print(f"\n{counts}")
    assert counts["right"] >= 19_800
    assert counts["spoiled"] == counts["told"] == 0


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.header)
def test_a_stray_character_in_a_header_changes_nothing(form: Form) -> None:
    """Punctuation, emoji, invisible and no-break characters, at every position."""
    for place in places(form):
        for mark in MARKS:
            assert said(with_junk(form, place, encode(mark))) == right(form), (place, mark)


@pytest.mark.parametrize("seed", range(20))
def test_junk_parses_the_same_at_any_split(seed: int) -> None:
    """Token by token and in random pieces; and a cut anywhere raises nothing."""
    rng = random.Random(seed)  # noqa: S311
    form = rng.choice(FORMS)
    junk = [rng.randrange(100_000) for _ in range(rng.choice((1, 2, 3)))]
    ids = with_junk(form, rng.choice(list(places(form))), junk)
    parser, fold, at = Parser(TOOLS, call_id=lambda: "c"), MessageFold(), 0
    while at < len(ids):
        size = rng.randint(1, 4)
        fold.add(delta_of(parser.feed(ids[at : at + size])))
        at += size
    fold.add(delta_of(parser.finish()))
    whole = message_from_tokens(ids, TOOLS)
    for call in (whole["tool_calls"] or []) + (fold.message()["tool_calls"] or []):
        call.pop("id")
    assert fold.message()["content"] == whole["content"]
    assert fold.message()["reasoning"] == whole["reasoning"]
    for cut in range(len(ids)):
        message_from_tokens(ids[:cut], TOOLS)


@pytest.mark.parametrize(
    "name", ["analysis", "commentary", "final", "assistant", "json", "functions"]
)
def test_a_tool_named_like_a_harmony_word_is_called_only_with_to(name: str) -> None:
    """And ordinary messages are unaffected."""
    tools = [{"type": "function", "function": {"name": name}}]
    for form in FORMS:
        if form.kind != "call":
            assert said(form.ids(), tools) == right(form)


@pytest.mark.parametrize(
    "recipient",
    [
        *("Functions.Get_Weather", "function.get_weather", "functions/get_weather"),
        *("tools.get_weather", "get_weather()", "get_weatherget_weather", "functions.get weather"),
        *("functions.getWeather", "my_server.get_weather", "functions . get_weather"),
    ],
)
@pytest.mark.parametrize("to", [" to=", " To=", " to =", " to:", " to: "])
def test_a_recipient_is_matched_loosely(to: str, recipient: str) -> None:
    header = f"<|channel|>commentary{to}{recipient} <|constrain|>json<|message|>{PARIS}<|call|>"
    assert said(tokens(header))["calls"] == [("get_weather", PARIS)]


@pytest.mark.parametrize(
    "kind", ["json?", "(json)", "application/json; charset=utf-8", "json json"]
)
def test_a_content_type_with_junk_is_a_content_type(kind: str) -> None:
    header = f"<|channel|>commentary to=functions.get_weather <|constrain|>{kind}<|message|>"
    assert said(tokens(f"{header}{PARIS}<|call|>"))["calls"] == [("get_weather", PARIS)]


def test_a_content_type_between_two_message_markers_is_not_an_argument() -> None:
    header = "<|channel|>commentary to=functions.get_weather<|message|>json<|message|>"
    assert said(tokens(f"{header}{PARIS}<|call|>"))["calls"] == [("get_weather", PARIS)]


def test_a_header_of_punctuation_calls_nothing_and_its_text_is_shown() -> None:
    output = "<|channel|>commentary:<|message|>Let me look.<|end|>"
    assert said(tokens(output)) == {"calls": [], "reasoning": None, "content": "Let me look."}


def test_code_for_a_function_named_python_becomes_its_only_string_property() -> None:
    """Streamed piece by piece; arguments that are already JSON stay unchanged."""
    properties = {"code": {"type": "string"}, "timeout": {"type": "integer"}}
    function = {"name": "python", "parameters": {"type": "object", "properties": properties}}
    tools = [{"type": "function", "function": function}]
    header = "<|channel|>analysis to=python code<|message|>"
    raw = said(tokens(f'{header}import sys\nprint("a")<|call|>'), tools)
    assert raw["calls"] == [("python", '{"code": "import sys\\nprint(\\"a\\")"}')]
    json_ = said(tokens(header + '{"code":"1"}<|call|>'), tools)
    assert json_["calls"] == [("python", '{"code":"1"}')]

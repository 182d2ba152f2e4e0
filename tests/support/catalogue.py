"""Outputs of gpt-oss, well-formed and malformed, and what a client must get from them.

Data for every test that feeds outputs to the parser, to the API or through a real engine. Markers
are written as text (`<|channel|>`); `⟦channel⟧` is a marker that the model typed as ordinary text.
The rule behind each case: no intended call is lost, no text for the user is lost or duplicated, and
no marker or header leaks into the text.
"""

import re
from dataclasses import dataclass
from typing import Any

from worker.harmony.vocabulary import STOP_IDS, encoding

Call = tuple[str, str]
"""A call's name and arguments, as the client gets them."""


@dataclass(frozen=True, slots=True)
class Case:
    """One output. The prompt ends with `<|start|>assistant`; `tools` are the names of the tools."""

    reason: str
    output: str
    content: str | None = None
    reasoning: str | None = None
    calls: tuple[Call, ...] = ()
    tools: tuple[str, ...] = ("get_weather", "get_time")
    cut: bool = False
    """The output was cut off by a token limit, so `finish_reason` is `length`."""
    closed: bool | None = None
    """Whether its last message was closed, if that differs from `not cut`."""

    @property
    def ids(self) -> list[int]:
        ids: list[int] = []
        for typed, text in re.findall(r"⟦(\w+)⟧|([^⟦]+)", self.output):
            if typed:
                ids += encoding().encode(f"<|{typed}|>", disallowed_special=())
            else:
                ids += encoding().encode(text, allowed_special="all")
        return ids

    @property
    def complete(self) -> bool:
        """The expected `Finished.complete`."""
        return not self.cut if self.closed is None else self.closed

    @property
    def stops_early(self) -> bool:
        """Whether there is a stop token before the end, where a real engine would stop."""
        return any(token in STOP_IDS for token in self.ids[:-1])

    @property
    def openai_tools(self) -> list[dict[str, Any]]:
        return [
            {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
            for name in self.tools
        ]


THINK = "<|channel|>analysis<|message|>Think.<|end|>"
NEXT = "<|start|>assistant"
PARIS = '{"city":"Paris"}'
WEATHER = (("get_weather", PARIS),)
CALL = f"<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{PARIS}<|call|>"
FINAL = "<|channel|>final<|message|>It is sunny.<|return|>"

WELL_FORMED = [
    Case("a final answer", FINAL, content="It is sunny."),
    Case("reasoning, then an answer", THINK + NEXT + FINAL, "It is sunny.", "Think."),
    Case("reasoning, then a call", THINK + NEXT + CALL, None, "Think.", WEATHER),
    Case(
        "reasoning in two messages is one text",
        THINK + NEXT + THINK + NEXT + FINAL,
        "It is sunny.",
        "Think.Think.",
    ),
    Case(
        "a preamble is content",
        THINK + NEXT + "<|channel|>commentary<|message|>I look it up.<|end|>" + NEXT + CALL,
        "I look it up.",
        "Think.",
        WEATHER,
    ),
    Case(
        "a preamble and an answer",
        "<|channel|>commentary<|message|>One. <|end|>" + NEXT + FINAL,
        "One. It is sunny.",
    ),
    Case("two calls", CALL + NEXT + CALL, calls=WEATHER * 2),
    Case(
        "calls of two tools keep their order",
        CALL + NEXT + "<|channel|>commentary to=functions.get_time<|message|>{}<|call|>",
        calls=(*WEATHER, ("get_time", "{}")),
    ),
    Case("a message without a channel", "<|message|>Hi.<|return|>", "Hi."),
    Case("a role and no channel", NEXT + "<|message|>Hi.<|return|>", "Hi."),
    Case("an empty answer", "<|channel|>final<|message|><|return|>"),
    Case("empty reasoning", "<|channel|>analysis<|message|><|end|>" + NEXT + FINAL, "It is sunny."),
    Case(
        "a structured answer is content (StreamableParser takes its type for a recipient)",
        "<|channel|>final <|constrain|>json<|message|>" + PARIS + "<|return|>",
        PARIS,
    ),
    Case(
        "a structured answer, the type without its marker",
        "<|channel|>final json<|message|>" + PARIS + "<|return|>",
        PARIS,
    ),
    Case(
        "an answer to the user by name", "<|channel|>final to=user<|message|>Hi.<|return|>", "Hi."
    ),
    Case("a preamble to all", "<|channel|>commentary to=all<|message|>Hi.<|end|>", "Hi."),
    Case("reasoning to nobody", "<|channel|>analysis to=user<|message|>Hm.<|end|>", None, "Hm."),
    Case(
        "spaces and newlines are kept",
        "<|channel|>final<|message|>\n  a\tb\n\n<|return|>",
        "\n  a\tb\n\n",
    ),
    Case(
        "many scripts",
        "<|channel|>final<|message|>Grüße, 日本語 👩‍👩‍👧 שלום<|return|>",
        "Grüße, 日本語 👩‍👩‍👧 שלום",
    ),
    Case(
        "the browser's tools keep their namespace",
        '<|channel|>analysis to=browser.search code<|message|>{"query":"sun"}<|call|>',
        calls=(("browser.search", '{"query":"sun"}'),),
    ),
    Case(
        "python takes code",
        "<|channel|>analysis to=python code<|message|>print([1, 2,])<|call|>",
        calls=(("python", "print([1, 2,])"),),
    ),
    Case(
        "python's code is not repaired, even if it looks like JSON",
        "<|channel|>analysis to=python code<|message|>[1, 2,]<|call|>",
        calls=(("python", "[1, 2,]"),),
    ),
    Case(
        "a tool's own message is not the assistant's",
        CALL
        + "<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>20 C<|end|>"
        + NEXT
        + FINAL,
        "It is sunny.",
        calls=WEATHER,
    ),
]

CALL_FORMS = [
    Case(
        f"a call on {channel or 'no'} channel, to={recipient} {place}, type{kind!r}",
        f"{' to=' + recipient if place == 'in the role' else ''}"
        f"{'<|channel|>' + channel if channel else ''}"
        f"{' to=' + recipient if place == 'after it' else ''}{kind}<|message|>{PARIS}<|call|>",
        calls=WEATHER,
    )
    for channel in ("commentary", "analysis", "final", "")
    for place in ("in the role", "after it")
    for recipient in ("functions.get_weather", "get_weather")
    for kind in (
        " <|constrain|>json",
        " json",
        " code",
        "",
        " <|constrain|>JSON",
        "<|constrain|>text",
    )
]

HEADERS = [
    Case(
        "in the wild: a channel in the role",
        THINK + f"{NEXT}<|channel|>commentary" + CALL,
        None,
        "Think.",
        WEATHER,
    ),
    Case(
        "in the wild: another channel in the role",
        THINK + f"{NEXT}<|channel|>analysis" + CALL,
        None,
        "Think.",
        WEATHER,
    ),
    Case(
        "in the wild: the tool as a channel before the channel",
        THINK
        + NEXT
        + '<|channel|>bash<|channel|>commentary <|constrain|>json<|message|>{"c":1}<|call|>',
        None,
        "Think.",
        (("bash", '{"c":1}'),),
        ("bash", "edit"),
    ),
    Case(
        "the same, with an unknown tool and no content type",
        f'{NEXT}<|channel|>bash<|channel|>commentary<|message|>{{"c":1}}<|call|>',
        calls=(("bash", '{"c":1}'),),
    ),
    Case(
        "in the wild: a leftover recipient",
        f"{NEXT} to=functions.get_weather" + CALL,
        calls=WEATHER,
    ),
    Case(
        "the recipient twice",
        "<|channel|>commentary to=functions.get_weather to=functions.get_weather json<|message|>"
        f"{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "of two recipients, the last counts",
        f" to=functions.get_time<|channel|>commentary to=get_weather<|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "of two recipients, the one that is a tool counts",
        f"<|channel|>commentary to=get_weather to=nothing<|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "`to=` is doubled",
        f"<|channel|>commentary to=to=functions.get_weather<|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "a space after `to=`",
        f"<|channel|>commentary to= functions.get_weather<|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "no space before `to=`",
        f"<|channel|>commentaryto=functions.get_weather json<|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "the content type before the recipient",
        f"<|channel|>commentary json to=functions.get_weather<|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "a recipient without `to=`",
        f"<|channel|>commentary functions.get_weather json<|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "a bare name on commentary",
        f"<|channel|>commentary get_weather<|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "a bare name that is not a tool's",
        f"<|channel|>commentary look_up<|message|>{PARIS}<|call|>",
        calls=(("look_up", PARIS),),
    ),
    Case(
        "a bare name on analysis",
        f"<|channel|>analysis get_weather<|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "the tool as a channel", f"<|channel|>get_weather<|message|>{PARIS}<|call|>", calls=WEATHER
    ),
    Case(
        "an unknown tool as a channel, with its namespace",
        f"<|channel|>functions.look_up<|message|>{PARIS}<|call|>",
        calls=(("look_up", PARIS),),
    ),
    Case(
        "the tool as a channel, mangled",
        f"<|channel|>GetWeather<|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "the tool as the role",
        f"<|start|>functions.get_weather<|channel|>commentary json<|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "JSON on commentary without a recipient is a call if there is one tool",
        f"<|channel|>commentary <|constrain|>json<|message|>{PARIS}<|call|>",
        calls=WEATHER,
        tools=("get_weather",),
    ),
    Case(
        "but with two tools it is content",
        f"<|channel|>commentary <|constrain|>json<|message|>{PARIS}<|call|>",
        PARIS,
    ),
    Case(
        "only the namespace, with one tool",
        f"<|channel|>commentary to=functions<|message|>{PARIS}<|call|>",
        calls=WEATHER,
        tools=("get_weather",),
    ),
    Case(
        "only the namespace, with two tools, is still a call",
        f"<|channel|>commentary to=functions<|message|>{PARIS}<|call|>",
        calls=(("functions", PARIS),),
    ),
    Case(
        "the role is repeated",
        "assistant<|channel|>final<|message|>Hi.<|return|>",
        "Hi.",
    ),
    Case("the start is repeated", NEXT + FINAL, "It is sunny."),
    Case("the start twice", THINK + "<|start|>" + NEXT + FINAL, "It is sunny.", "Think."),
    Case("a channel in capitals", "<|channel|>FINAL<|message|>Hi.<|return|>", "Hi."),
    Case("analysis in capitals", "<|channel|>Analysis<|message|>Hm.<|end|>", None, "Hm."),
    Case("space around the channel", "<|channel|> final \n<|message|>Hi.<|return|>", "Hi."),
    Case(
        "two channels: the last counts",
        "<|channel|>analysis<|channel|>final<|message|>Hi.<|return|>",
        "Hi.",
    ),
    Case("an unknown channel is content", "<|channel|>summary<|message|>Hi.<|end|>", "Hi."),
    Case("an empty channel is content", "<|channel|><|message|>Hi.<|return|>", "Hi."),
    Case("an unknown role is content", "<|start|>helper<|message|>Hi.<|return|>", "Hi."),
    Case("the role with a name", NEXT + ":anna<|channel|>final<|message|>Hi.<|return|>", "Hi."),
    Case("a channel without its marker", NEXT + "final<|message|>Hi.<|return|>", "Hi."),
    Case(
        "a whole header without its marker",
        NEXT + f"commentary to=functions.get_weather json<|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case("reasoning without its marker", "analysis<|message|>Hm.<|end|>", None, "Hm."),
]

NAMES = [
    Case(
        reason,
        f"<|channel|>commentary to={written} <|constrain|>json<|message|>{PARIS}<|call|>",
        calls=((name, PARIS),),
        tools=tools,
    )
    for reason, written, name, tools in [
        ("a dotted name", "functions.fs.read", "fs.read", ("fs.read",)),
        ("a dotted name without the namespace", "fs.read", "fs.read", ("fs.read",)),
        ("a name with dashes", "functions.get-weather", "get-weather", ("get-weather",)),
        ("a name with digits", "functions.get_weather_v2", "get_weather_v2", ("get_weather_v2",)),
        (
            "a name of a server's tool",
            "functions.mcp__git__log",
            "mcp__git__log",
            ("mcp__git__log",),
        ),
        ("an unknown name is a call", "functions.look_up", "look_up", ("get_weather",)),
        ("an unknown name, no tools at all", "functions.look_up", "look_up", ()),
        ("an unknown dotted name", "functions.db.look_up", "db.look_up", ()),
        (
            "a name that begins like a tool's",
            "functions.get_weather_v2",
            "get_weather_v2",
            ("get_weather",),
        ),
        ("the namespace twice", "functions.functions.get_weather", "get_weather", ("get_weather",)),
        (
            "a tool that has the namespace in its name",
            "functions.x",
            "functions.x",
            ("functions.x",),
        ),
        ("another case", "functions.Get_Weather", "get_weather", ("get_weather",)),
        ("camel case", "functions.getWeather", "get_weather", ("get_weather",)),
        ("a dash for an underscore", "functions.get-weather", "get_weather", ("get_weather",)),
        ("two tools would fit: as written", "functions.a.b", "a.b", ("a-b", "a_b")),
        ("a stop after the name", "functions.get_weather.", "get_weather", ("get_weather",)),
        ("a colon after the name", "functions.look_up:", "look_up", ()),
        ("a comma after the name", "functions.look_up,", "look_up", ()),
        ("a name in quotes", '"functions.look_up"', "look_up", ()),
        (
            "a channel sticks to the name",
            "functions.get_weathercommentary",
            "get_weather",
            ("get_weather",),
        ),
        ("a type sticks to the name", "functions.get_weatherjson", "get_weather", ("get_weather",)),
        (
            "a typed marker after the name",
            "functions.get_weather⟦channel⟧commentary",
            "get_weather",
            ("get_weather",),
        ),
        ("the same, unknown", "functions.look_up⟦channel⟧commentary", "look_up", ()),
        ("a marker after the name", "functions.look_up<|channel|>commentary", "look_up", ()),
        ("a reserved id in the name", "functions.look<|reserved_200013|>_up", "look_up", ()),
        (
            "a marker before the name",
            "functions.<|constrain|>get_weather",
            "get_weather",
            ("get_weather",),
        ),
        ("a tool called user", "functions.user", "user", ("user",)),
        ("a tool called final", "functions.final", "final", ("final",)),
        ("a tool called json", "functions.json", "json", ("json",)),
        ("a name of another script", "functions.wetter_für", "wetter_für", ()),
        ("a function called python", "functions.python", "python", ("python",)),
    ]
]

MISSING = [
    Case(
        "no message marker after the type",
        f"<|channel|>commentary to=functions.get_weather <|constrain|>json{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "no message marker after the recipient",
        f"<|channel|>commentary to=functions.get_weather{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "no message marker, a space and a bare type",
        f"<|channel|>commentary to=functions.get_weather json {PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "no message marker, an unusual type",
        "<|channel|>commentary to=functions.get_weather <|constrain|>application/json"
        f"{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "no message marker before code",
        "<|channel|>analysis to=python code print(1)<|call|>",
        calls=(("python", "print(1)"),),
    ),
    Case(
        "no marker at all before a recipient in the role",
        f" to=functions.get_weather{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "no marker at all before a whole header",
        f"commentary to=functions.get_weather json{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "no marker at all, a tool and its arguments", f"get_weather{PARIS}<|call|>", calls=WEATHER
    ),
    Case(
        "no message marker, no `to=`",
        f"<|channel|>commentary get_weather {PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case("no message marker in an answer", "<|channel|>final Hi there.<|return|>", "Hi there."),
    Case("no message marker, no space", "<|channel|>finalHi there.<|return|>", "Hi there."),
    Case("no message marker, lower case", "<|channel|>finalhi there.<|return|>", "hi there."),
    Case("no message marker, a newline", "<|channel|>final\n\nHi there.<|return|>", "Hi there."),
    Case("no message marker, one word", "<|channel|>final Yes<|return|>", "Yes"),
    Case("no message marker, bold", "<|channel|>final**Yes**, it is.<|return|>", "**Yes**, it is."),
    Case("no message marker, Japanese", "<|channel|>final日本です<|return|>", "日本です"),
    Case(
        "no message marker, an answer that begins like a header",
        "<|channel|>final json is a format.<|return|>",
        "json is a format.",
    ),
    Case(
        "no message marker, a preamble that begins with a tool's name",
        "<|channel|>commentary get_weather comes next.<|end|>",
        "get_weather comes next.",
    ),
    Case(
        "no message marker in reasoning",
        "<|channel|>analysisWe think.<|end|>" + NEXT + FINAL,
        "It is sunny.",
        "We think.",
    ),
    Case(
        "the content type's marker in place of the message's",
        "<|channel|>final<|constrain|>Hi there.<|return|>",
        "Hi there.",
    ),
    Case("no channel's name", "<|channel|>Hi there.<|return|>", "Hi there."),
    Case(
        "no end: a start",
        "<|channel|>analysis<|message|>Think." + NEXT + CALL,
        None,
        "Think.",
        WEATHER,
    ),
    Case(
        "no end, no start", "<|channel|>analysis<|message|>Think." + CALL, None, "Think.", WEATHER
    ),
    Case(
        "no end, no start, in text",
        "<|channel|>commentary<|message|>So: " + CALL,
        "So: ",
        None,
        WEATHER,
    ),
    Case("no start", THINK + CALL, None, "Think.", WEATHER),
    Case("no start, but a role", THINK + "assistant" + FINAL, "It is sunny.", "Think."),
    Case(
        "no start, the recipient in the role",
        THINK + f" to=functions.get_weather<|channel|>commentary<|message|>{PARIS}<|call|>",
        None,
        "Think.",
        WEATHER,
    ),
    Case("no start, no channel", THINK + "It is sunny.<|return|>", "It is sunny.", "Think."),
    Case("no start, a newline in between", THINK + "\n" + FINAL, "It is sunny.", "Think."),
    Case("no start, a message marker", THINK + "<|message|>Hi.<|return|>", "Hi.", "Think."),
    Case(
        "no channel, no message marker",
        THINK + NEXT + " Hi there.<|return|>",
        "Hi there.",
        "Think.",
    ),
    Case(
        "no marker in a header after a start",
        THINK + NEXT + "finalHi there.<|return|>",
        "Hi there.",
        "Think.",
    ),
    Case("a call closed by end", CALL.replace("<|call|>", "<|end|>"), calls=WEATHER),
    Case("a call closed by return", CALL.replace("<|call|>", "<|return|>"), calls=WEATHER),
    Case("a call closed by endoftext", CALL.replace("<|call|>", "<|endoftext|>"), calls=WEATHER),
    Case("an answer closed by call", FINAL.replace("<|return|>", "<|call|>"), "It is sunny."),
    Case(
        "an answer closed by endoftext",
        FINAL.replace("<|return|>", "<|endoftext|>"),
        "It is sunny.",
    ),
    Case(
        "a call closed by the next one",
        CALL.replace("<|call|>", "") + NEXT + CALL,
        calls=WEATHER * 2,
    ),
    Case("two calls, no start between", CALL + CALL, calls=WEATHER * 2),
    Case(
        "two calls closed by end",
        CALL.replace("<|call|>", "<|end|>") + NEXT + CALL,
        calls=WEATHER * 2,
    ),
    Case(
        "a header that ends before its message",
        "<|channel|>commentary to=functions.get_time<|call|>",
        calls=(("get_time", "{}"),),
    ),
    Case(
        "a header that another one follows",
        f"<|channel|>commentary to=functions.get_time {NEXT}{CALL}",
        calls=(("get_time", "{}"), *WEATHER),
    ),
    Case("a header of an answer that ends before it", "<|channel|>final<|return|>"),
    Case("only a start", THINK + NEXT + "<|end|>", None, "Think."),
    Case(
        "a call that ended before its arguments is one with the next call",
        "<|channel|>commentary to=functions.get_weather <|constrain|>json<|end|>" + NEXT + CALL,
        calls=WEATHER,
    ),
    Case(
        "the same if it began several times",
        ("<|channel|>commentary to=functions.get_weather json<|end|>" + NEXT) * 2 + CALL,
        calls=WEATHER,
    ),
    Case(
        "a call of another tool is a separate call",
        "<|channel|>commentary to=functions.get_time <|constrain|>json<|end|>" + NEXT + CALL,
        calls=(("get_time", "{}"), *WEATHER),
    ),
    Case(
        "an intentionally empty call stays a call",
        "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|><|end|>"
        + NEXT
        + CALL,
        calls=(("get_weather", "{}"), *WEATHER),
    ),
]

PLAIN = [
    Case("plain text", "It is sunny.", "It is sunny.", cut=True),
    Case("plain text with an end", "It is sunny.<|return|>", "It is sunny."),
    Case("plain text of one word", "json<|return|>", "json"),
    Case(
        "plain text that begins with a channel's name",
        "final answer: 4<|return|>",
        "final answer: 4",
    ),
    Case("plain text that begins with a role's name", "user error<|return|>", "user error"),
    Case("plain text that begins like a recipient", "to be or not<|return|>", "to be or not"),
    Case("plain text with `to=`", "to=Bob, from=Al<|return|>", "to=Bob, from=Al"),
    Case("plain JSON", PARIS + "<|return|>", PARIS),
    Case("plain text after whitespace", "  Hi.<|return|>", "  Hi."),
    Case("plain text that begins with an emoji", "👩‍👩‍👧 Hi.<|return|>", "👩‍👩‍👧 Hi."),
    Case("plain text, then a call", "I look it up." + CALL, "I look it up.", None, WEATHER),
    Case("plain text, then an answer", "Well: " + NEXT + FINAL, "Well: It is sunny."),
    Case("plain text, a single letter, cut", "a", "a", cut=True),
]

RESULTS = [
    Case("text after a call", CALL + '{"temp":20}', calls=WEATHER, cut=True),
    Case(
        "prose after a call, then an answer",
        CALL + "20 C." + NEXT + FINAL,
        "It is sunny.",
        None,
        WEATHER,
    ),
    Case(
        "a tool's message after a call",
        CALL + "<|start|>tool<|message|>20 C<|end|>" + NEXT + FINAL,
        "It is sunny.",
        None,
        WEATHER,
    ),
    Case(
        "a tool's message without to=assistant",
        CALL
        + "<|start|>functions.get_weather<|channel|>commentary<|message|>20 C<|end|>"
        + NEXT
        + FINAL,
        "It is sunny.",
        None,
        WEATHER,
    ),
    Case(
        "a tool's message without a start",
        CALL
        + 'functions.get_weather to=assistant<|channel|>commentary<|message|>{"t":1}<|end|>'
        + NEXT
        + FINAL,
        "It is sunny.",
        None,
        WEATHER,
    ),
    Case(
        "a tool's message without any marker",
        CALL + 'functions.get_weather {"t":1}<|end|>' + NEXT + FINAL,
        "It is sunny.",
        None,
        WEATHER,
    ),
    Case(
        "a message to the assistant after a call",
        CALL + "<|channel|>commentary to=assistant<|message|>20 C<|end|>" + NEXT + FINAL,
        "It is sunny.",
        None,
        WEATHER,
    ),
    Case(
        "a message marker and a result",
        CALL + "<|message|>20 C<|end|>" + NEXT + FINAL,
        "It is sunny.",
        None,
        WEATHER,
    ),
    Case(
        "a result after a call that lacks its last brace",
        CALL.replace('"}', '"') + '{"t":1}<|end|>' + FINAL,
        "It is sunny.",
        None,
        WEATHER,
    ),
    Case(
        "an invented turn of the user",
        THINK + "<|start|>user<|message|>Thanks!<|end|>" + NEXT + FINAL,
        "It is sunny.",
        "Think.",
    ),
    Case(
        "the user's turn after an answer",
        FINAL + "<|start|>user<|message|>Thanks!",
        "It is sunny.",
        cut=True,
    ),
    Case(
        "a final answer addressed to the assistant",
        "<|channel|>final to=assistant<|message|>Hi.<|return|>",
        "Hi.",
    ),
    Case(
        "an answer in two parts",
        "<|channel|>final<|message|>One.<|end|> Two.<|return|>",
        "One. Two.",
    ),
    Case("an answer after an answer", FINAL + NEXT + FINAL, "It is sunny.It is sunny."),
]

STRAY = [
    Case(
        f"a stray {marker} in {place}",
        f"{before}<|{marker}|>{after}",
        content,
        calls=calls,
    )
    for marker in (
        "message",
        "constrain",
        "channel",
        "start",
        "startoftext",
        "reserved_200018",
        "reserved_201000",
    )
    for place, before, after, content, calls in [
        (
            "an answer",
            "<|channel|>final<|message|>One,",
            " two, three.<|return|>",
            "One, two, three.",
            (),
        ),
        (
            "a string of a call's arguments",
            '<|channel|>commentary to=functions.get_weather<|message|>{"city":"New',
            ' York City"}<|call|>',
            None,
            (("get_weather", '{"city":"New York City"}'),),
        ),
    ]
] + [
    Case(
        "a stray end in a call's arguments",
        '<|channel|>commentary to=functions.get_weather<|message|>{"a":"New<|end|> York"}<|call|>',
        calls=(("get_weather", '{"a":"New York"}'),),
    ),
    Case(
        "a stray end between a call's arguments",
        '<|channel|>commentary to=functions.get_weather<|message|>{"a":1,<|end|>"b":2}<|call|>',
        calls=(("get_weather", '{"a":1,"b":2}'),),
    ),
    Case(
        "a call that quotes a header",
        "<|channel|>commentary to=functions.write<|message|>"
        '{"text":"a <|start|>user<|message|> b"}<|call|>',
        calls=(("write", '{"text":"a user b"}'),),
        tools=("write",),
    ),
    Case(
        "a stray channel before one word",
        "<|channel|>final<|message|>One<|channel|> two<|return|>",
        "One two",
    ),
    Case(
        "a stray start before one word",
        "<|channel|>final<|message|>One<|start|> two<|return|>",
        "One two",
    ),
    Case(
        "a message marker before the channel",
        f" to=functions.get_weather<|message|><|channel|>commentary<|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "a message marker before the type",
        "<|channel|>commentary to=functions.get_weather<|message|>"
        f"<|constrain|>json<|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "a message marker before the type and none after it",
        "<|channel|>commentary to=functions.get_weather<|message|>"
        f"<|constrain|>json{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "an end before the message marker",
        f"<|channel|>commentary to=functions.get_weather json<|end|><|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "an end before the type's marker",
        f"<|channel|>commentary to=get_weather<|end|><|constrain|>json<|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "a start before the message marker",
        f"<|channel|>commentary to=functions.get_weather json<|start|><|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "a message marker before the channel's name",
        f"<|channel|><|message|>commentary to=functions.get_weather<|message|>{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "an end before the message marker of an answer, after a call",
        CALL + NEXT + "<|channel|>final<|end|><|message|>It is sunny.<|return|>",
        "It is sunny.",
        calls=WEATHER,
    ),
    Case(
        "a message marker before the channel of an answer, after a call",
        CALL + "<|message|>" + FINAL,
        "It is sunny.",
        calls=WEATHER,
    ),
    Case("the message marker twice", "<|channel|>final<|message|><|message|>Hi.<|return|>", "Hi."),
    Case("the end twice", THINK + "<|end|>" + NEXT + FINAL, "It is sunny.", "Think."),
    Case(
        "markers typed in a header",
        f"<|channel|>commentary to=functions.get_weather ⟦constrain⟧json⟦message⟧{PARIS}<|call|>",
        calls=WEATHER,
    ),
    Case(
        "a message marker typed after the channel", "<|channel|>final⟦message⟧Hi.<|return|>", "Hi."
    ),
    Case(
        "markers that the model mentions as text are text",
        "<|channel|>final<|message|>Write ⟦start⟧user.<|return|>",
        "Write <|start|>user.",
    ),
    Case("only markers", "<|channel|><|constrain|><|message|><|start|><|channel|>", cut=True),
    Case("nothing", "", cut=True),
]

ARGUMENTS = [
    Case(
        reason,
        f"<|channel|>commentary to=get_weather <|constrain|>json<|message|>{written}<|call|>",
        calls=(("get_weather", sent),),
    )
    for reason, written, sent in [
        ("as written, space and all", ' { "a" : 1 }\n', ' { "a" : 1 }\n'),
        ("a trailing comma", '{"a":1,}', '{"a":1}'),
        (
            "trailing commas, nested, with space",
            '{"a":[1,2, ],"b":{"c":1,\n},}',
            '{"a":[1,2 ],"b":{"c":1\n}}',
        ),
        ("a comma before a bracket in a string", '{"a":",}"}', '{"a":",}"}'),
        ("a comma in a string and one too much", '{"a":",]",}', '{"a":",]"}'),
        ("the last brace is missing", '{"a":1', '{"a":1}'),
        ("three brackets are missing", '{"a":[{"b":1', '{"a":[{"b":1}]}'),
        ("a comma too much, a brace too few", '{"a":[1,]', '{"a":[1]}'),
        ("a string that is not closed stays raw", '{"a":"b', '{"a":"b'),
        ("a value that is missing stays raw", '{"a":', '{"a":'),
        ("two objects stay raw", '{"a":1}{"b":2}', '{"a":1}{"b":2}'),
        ("a brace too many stays raw", '{"a":1}}', '{"a":1}}'),
        ("NaN stays raw", '{"a":NaN}', '{"a":NaN}'),
        ("Infinity stays raw, its comma too", '{"a":-Infinity,}', '{"a":-Infinity,}'),
        ("single quotes stay raw", "{'a':1,}", "{'a':1,}"),
        ("prose stays raw", "Paris, please", "Paris, please"),
        ("a fence stays raw", '```json\n{"a":1}\n```', '```json\n{"a":1}\n```'),
        ("nothing is an empty object", "", "{}"),
        ("quotes and backslashes", '{"a":"\\"\\\\"}', '{"a":"\\"\\\\"}'),
        ("an escaped quote and a comma too much", '{"a":"\\\\\\"",}', '{"a":"\\\\\\""}'),
        ("characters of several tokens", '{"a":"👩‍👩‍👧 日本"}', '{"a":"👩‍👩‍👧 日本"}'),
        ("a number as it was written", '{"a":1e400,"b":0.10}', '{"a":1e400,"b":0.10}'),
        ("a list", '["a",]', '["a"]'),
        ("null", "null", "null"),
    ]
]

CUT = [
    Case("in reasoning", "<|channel|>analysis<|message|>Thi", None, "Thi", cut=True),
    Case("in an answer", "<|channel|>final<|message|>It is", "It is", cut=True),
    Case("in a call's arguments", CALL[:-12], calls=(("get_weather", '{"city":"Par'),), cut=True),
    Case(
        "before a call's end",
        CALL.replace("<|call|>", ""),
        calls=WEATHER,
        cut=True,
    ),
    Case(
        "after a comma: nothing is repaired, nothing is lost",
        '<|channel|>commentary to=functions.get_weather<|message|>{"a":[1,],',
        calls=(("get_weather", '{"a":[1,],'),),
        cut=True,
    ),
    Case(
        "before a call's arguments",
        "<|channel|>commentary to=functions.get_weather<|message|>",
        calls=(("get_weather", ""),),
        cut=True,
    ),
    Case(
        "in the header, after the name",
        "<|channel|>commentary to=functions.get_weather <|constrain|>js",
        calls=(("get_weather", ""),),
        cut=True,
    ),
    Case("in the name", "<|channel|>commentary to=functions.get_wea", cut=True),
    Case("in the recipient", "<|channel|>commentary to=fun", cut=True),
    Case("in `to=`", "<|channel|>commentary to", cut=True),
    Case("in a name without `to=`", "<|channel|>commentary get_wea", cut=True),
    Case("in the channel", THINK + NEXT + "<|channel|>comm", None, "Think.", cut=True),
    Case("after the channel", THINK + NEXT + "<|channel|>final", None, "Think.", cut=True),
    Case("after the channel's marker", THINK + NEXT + "<|channel|>", None, "Think.", cut=True),
    Case("in the role", THINK + "<|start|>assis", None, "Think.", cut=True),
    Case("after the start", THINK + "<|start|>", None, "Think.", cut=True),
    Case("between two messages", THINK, None, "Think.", cut=True, closed=True),
    Case(
        "in the second of two calls",
        CALL + NEXT + CALL.replace('ris"}<|call|>', ""),
        calls=(*WEATHER, ("get_weather", '{"city":"Pa')),
        cut=True,
    ),
    Case(
        "in the second call's name",
        CALL + NEXT + "<|channel|>commentary to=functions.get_ti",
        calls=WEATHER,
        cut=True,
    ),
    Case(
        "in python's code",
        "<|channel|>analysis to=python code<|message|>print(",
        calls=(("python", "print("),),
        cut=True,
    ),
]

CATALOGUE: list[Case] = [
    *WELL_FORMED,
    *CALL_FORMS,
    *HEADERS,
    *NAMES,
    *MISSING,
    *PLAIN,
    *RESULTS,
    *STRAY,
    *ARGUMENTS,
    *CUT,
]

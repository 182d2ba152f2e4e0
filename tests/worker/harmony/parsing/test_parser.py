"""The parser as a stream: which events it emits when, and what it never emits."""

from tests.support.fuzzing import SPECIAL
from worker.api.chat import message_from_tokens
from worker.harmony import (
    Finished,
    Kind,
    MessageBegun,
    MessageEnded,
    Parser,
    Reasoning,
    Text,
    ToolCallArguments,
    ToolCallBegun,
)
from worker.harmony.vocabulary import encode, encoding, token_bytes


def ids(output: str) -> list[int]:
    return encoding().encode(output, allowed_special="all")


def test_each_token_takes_effect_when_it_is_fed() -> None:
    """A message begins when its header ends, and ends when the next one begins."""
    parser = Parser()
    assert parser.feed(ids("<|channel|>analysis<|message|>")) == [
        MessageBegun(Kind.REASONING, "analysis")
    ]
    assert parser.feed(ids("Hm")) == [Reasoning("Hm")]
    assert parser.feed(ids(".<|end|><|start|>assistant<|channel|>final<|message|>")) == [
        Reasoning("."),
        MessageEnded(complete=True, span=range(3, 5)),
        MessageBegun(Kind.TEXT, "final"),
    ]
    assert parser.feed(ids("Hi")) == [Text("Hi")]
    assert parser.feed(ids("<|return|>")) == []
    assert parser.finish() == [
        MessageEnded(complete=True, span=range(11, 12)),
        Finished(complete=True),
    ]


def test_a_call_is_emitted_when_its_header_is_over() -> None:
    """With its id, before its arguments."""
    parser = Parser(call_id=lambda: "call_1")
    header = ids("<|channel|>commentary to=functions.x <|constrain|>json<|message|>")
    assert parser.feed(header) == [
        MessageBegun(Kind.CALL, "commentary", "x"),
        ToolCallBegun(0, "call_1", "x"),
    ]
    assert parser.feed(ids('{"a":')) == [ToolCallArguments(0, '{"a":')]
    assert parser.feed(ids("1}<|call|>")) == [ToolCallArguments(0, "1}")]
    body = len(ids('{"a":1}'))
    assert parser.finish() == [
        MessageEnded(True, range(len(header), len(header) + body), '{"a":1}'),
        Finished(complete=True),
    ]
    assert parser.calls == 1


def test_message_spans_are_right_in_malformed_output() -> None:
    """Text without a header begins where it is; a call that ended early, with its arguments."""
    thought = ids("<|channel|>analysis<|message|>Hm.<|end|>")
    assert spans([*thought, *ids("The answer is 4.<|return|>")]) == [
        ("analysis", "Hm."),
        ("final", "The answer is 4."),
    ]
    early = "<|channel|>commentary to=functions.x <|constrain|>json<|end|>"
    assert spans(ids(early + '<|message|>{"a":1}<|call|>')) == [("commentary", '{"a":1}')]
    assert spans(ids(early + '{"a":1}<|call|>')) == [("commentary", '{"a":1}')]
    assert spans(ids("<|channel|>commentary to=functions.x<|call|>")) == [("commentary", "")]


def test_a_made_up_result_has_no_events() -> None:
    made_up = "<|start|>functions.x to=assistant<|channel|>commentary<|message|>21<|end|>"
    call = "<|channel|>commentary to=functions.x<|message|>{}<|call|>"
    assert spans(ids(call + made_up)) == [("commentary", "{}")]


def spans(output: list[int]) -> list[tuple[str, str]]:
    """The channel of each message, and what its span decodes to."""
    parser, found = Parser(), list[tuple[str, str]]()
    channel = ""
    for event in parser.feed(output) + parser.finish():
        if isinstance(event, MessageBegun):
            channel = event.channel
        elif isinstance(event, MessageEnded):
            found.append((channel, encoding().decode(output[event.span.start : event.span.stop])))
    return found


def test_each_call_has_a_unique_id() -> None:
    call = "<|channel|>commentary to=functions.x<|message|>{}<|call|>"
    calls = message_from_tokens(ids(call + "<|start|>assistant" + call))["tool_calls"]
    assert len({call["id"] for call in calls}) == 2
    assert all(call["id"].startswith("call_") for call in calls)


def test_plain_text_is_emitted_from_its_third_word_on() -> None:
    """Until then it may be junk before a header."""
    assert Parser().feed(ids("Hi there, you")) == [
        MessageBegun(Kind.TEXT, "final"),
        Text("Hi there, you"),
    ]


def test_a_character_of_several_tokens_is_emitted_whole() -> None:
    """The decoder waits for its last byte, also in a header's place."""
    emoji = encode("🧑🏽‍🚀")
    assert len(emoji) > 3
    parser = Parser()
    events = [event for token in emoji for event in parser.feed([token])] + parser.finish()
    texts = [event.text for event in events if isinstance(event, Text)]
    assert "".join(texts) == "🧑🏽‍🚀"
    assert "�" not in "".join(texts)


def test_invalid_utf_8_becomes_replacement_characters() -> None:
    broken = token_bytes().index(b"\xff")
    assert (
        message_from_tokens([*ids("<|channel|>final<|message|>a"), broken, *ids("b<|return|>")])[
            "content"
        ]
        == "a�b"
    )


def test_half_a_character_is_replaced_at_an_end_and_dropped_at_a_cut() -> None:
    half = token_bytes().index(b"\xe2")
    start = [*ids("<|channel|>final<|message|>a"), half]
    assert message_from_tokens([*start, *ids("<|return|>")])["content"] == "a�"
    assert message_from_tokens(start)["content"] == "a"


def test_special_ids_are_never_visible() -> None:
    """Reserved and out-of-range ids, in a header and in each kind of body."""
    ignored = [token for token in SPECIAL if token < 200002 or token > 200012 or token == 200018]
    ignored.remove(199999)  # `<|endoftext|>` ends a message
    written = ids(
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary"
        ' to=functions.x<|message|>{"a":1}<|call|><|start|>assistant<|channel|>final<|message|>b'
    )
    between = [other for token in written for other in (token, *ignored)]
    found = message_from_tokens(between)
    assert (found["reasoning"], found["content"]) == ("a", "b")
    assert found["tool_calls"][0]["function"] == {"name": "x", "arguments": '{"a":1}'}


def test_in_text_is_true_while_text_for_the_user_arrives() -> None:
    parser = Parser()
    assert not parser.in_text
    parser.feed(ids("<|channel|>final"))
    assert not parser.in_text
    parser.feed(ids("<|message|>"))
    assert parser.in_text
    parser.feed(ids("Hi<|end|>"))
    assert not parser.in_text
    parser.feed(ids("<|start|>assistant<|channel|>analysis<|message|>"))
    assert not parser.in_text


def test_reasoning_tokens_are_those_of_analysis_only() -> None:
    parser = Parser()
    thought = "Let me think about the weather."
    parser.feed(ids(f"<|channel|>analysis<|message|>{thought}<|end|><|start|>assistant"))
    parser.feed(ids("<|channel|>final<|message|>It is sunny.<|return|>"))
    parser.finish()
    assert parser.reasoning_tokens == len(encode(thought))


def test_a_role_without_a_start_marker_is_not_text() -> None:
    """`assistant` and a channel, in the middle of a body."""
    thought, answer = (
        ids("<|channel|>analysis<|message|>Hm."),
        ids("<|channel|>final<|message|>Hi."),
    )
    found = message_from_tokens([*thought, *ids("assistant"), *answer])
    assert (found["reasoning"], found["content"]) == ("Hm.", "Hi.")


def test_a_role_without_a_channel_is_text() -> None:
    body = [*ids("<|channel|>final<|message|>My "), *ids("assistant")]
    assert message_from_tokens(body)["content"] == "My assistant"
    assert (
        message_from_tokens([*body, *ids("<|constrain|>s.<|return|>")])["content"]
        == "My assistants."
    )
    parser = Parser()
    assert parser.feed(body[:-1]) == [MessageBegun(Kind.TEXT, "final"), Text("My ")]
    assert parser.feed(body[-1:]) == []
    assert parser.feed(ids("s")) == [Text("assistants")]


def test_an_endless_header_becomes_text() -> None:
    """Text between more and more markers is emitted in the end."""
    flood = ids("<|channel|>final<|message|>One.") + ids("<|channel|>two ") * 20
    content = message_from_tokens(flood + ids("three.<|return|>"))["content"]
    assert content.startswith("One.")
    assert content.endswith("three.")


def test_nothing_is_emitted_after_finish() -> None:
    """A message that a limit cuts off is not complete."""
    parser = Parser()
    parser.feed(ids("<|channel|>final<|message|>Hi"))
    assert parser.finish() == [
        MessageEnded(complete=False, span=range(3, 4)),
        Finished(complete=False),
    ]

"""What do reading a completion and writing a prompt cost, beside `openai_harmony` and SGLang?

The parser takes a completion token by token, as a stream brings it, and says after each token what
is new. All sides read the same ids, and what they make of them must be the same:

- `worker`: ids to events;
- `openai_harmony`: `StreamableParser`, with what a server asks it after each token;
- `SGLang`: its detectors of reasoning and of tool calls, in the order of its chat completions. They
  take text, so their ids are decoded beforehand, which a server has to pay for as well. Without
  tools on offer, the second one is left out.

The renderer makes a prompt's ids of a loop of calls and results:

- `worker, new`: no text was seen before;
- `worker, next turn`: a call and its result are new, the rest is the last turn's;
- `openai_harmony`: `render_conversation_for_completion`, which keeps nothing.

Compared is CPU time. SGLang's detector of tool calls reads an answer's whole text again at each
token, so it takes part in completions of up to 4,000 tokens alone.
Run: `python -m benchmarks.parsing [--quick]`.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from openai_harmony import Author, Role, StreamableParser, SystemContent
from openai_harmony import Conversation as HarmonyConversation
from openai_harmony import Message as HarmonyMessage

from benchmarks.api_cost import CALL, FUNCTION
from benchmarks.harness import Case, Figure, in_turn, question_parser, save
from benchmarks.prompt_stall import history
from benchmarks.tables import show
from worker.harmony import Parser, Reasoning, Text, ToolCallArguments, render
from worker.harmony.conversation import Called, Conversation, Result, Tool, User
from worker.harmony.vocabulary import encoding

WORDS = "The weather in Paris is sunny today and the sky is blue. "
TOKENS_OF_WORDS = 13
FORMS = {
    "reasoning": "<|channel|>analysis<|message|>{}<|end|>",
    "text": "<|channel|>final<|message|>{}<|return|>",
    "call": CALL + '{{"text": "{}"}}<|call|>',
}
COMPLETIONS = (1_000, 4_000, 16_000)
SGLANGS_LONGEST = 4_000
PROMPTS = (1_000, 16_000, 128_000)
ROUNDS = 5
QUICK_ROUNDS = 1
QUICK_LONGEST = 1_000

Messages = Sequence[Mapping[str, Any]]
"""A history as chat clients send it (benchmarks/prompt_stall.py)."""


class Completion(NamedTuple):
    """`pieces`: the text of each id."""

    ids: Sequence[int]
    pieces: Sequence[str]


class Parsed(NamedTuple):
    """What a parser made of a completion: its texts, joined."""

    reasoning: str = ""
    text: str = ""
    arguments: str = ""


async def main(rounds: int, longest: int) -> None:
    figures: list[Figure] = []
    for form in FORMS:
        for tokens in (each for each in COMPLETIONS if each <= longest):
            figures += await parser_figures(form, tokens, rounds)
    for tokens in (each for each in PROMPTS if each <= longest):
        figures += await renderer_figures(tokens, rounds)
    show(figures)
    save("parsing", figures)


# The parser


def completion(form: str, tokens: int) -> Completion:
    """A completion of about `tokens` tokens in one of the FORMS."""
    text = FORMS[form].format(WORDS * (tokens // TOKENS_OF_WORDS))
    ids = encoding().encode(text, allowed_special="all")
    return Completion(ids, [encoding().decode([each]) for each in ids])


def by_worker(read: Completion) -> Parsed:
    parser = Parser([Tool.of(FUNCTION)])
    found: dict[type, list[str]] = {Reasoning: [], Text: [], ToolCallArguments: []}
    for token in read.ids:
        for event in parser.feed((token,)):
            if isinstance(event, Reasoning | Text | ToolCallArguments):
                found[type(event)].append(event.text)
    parser.finish()
    return Parsed(*map("".join, found.values()))


def by_openai_harmony(read: Completion) -> Parsed:
    parser = StreamableParser(encoding(), role=Role.ASSISTANT)
    reasoning, text, arguments = list[str](), list[str](), list[str]()
    for token in read.ids:
        parser.process(token)
        if delta := parser.last_content_delta:
            if parser.current_recipient:
                arguments.append(delta)
            elif parser.current_channel == "analysis":
                reasoning.append(delta)
            else:
                text.append(delta)
    return Parsed("".join(reasoning), "".join(text), "".join(arguments))


def by_sglang(read: Completion, *, tools: bool) -> Parsed:
    """`tools`: whether the request offers any."""
    from sglang.srt.entrypoints.openai.protocol import Tool as SglangTool
    from sglang.srt.function_call.function_call_parser import FunctionCallParser
    from sglang.srt.parser.reasoning_parser import ReasoningParser

    thoughts: Any = ReasoningParser("gpt-oss", tool_call_parser_active=tools)
    offered = [SglangTool.model_validate({"function": FUNCTION})]
    calls: Any = FunctionCallParser(offered, "gpt-oss") if tools else None
    reasoning, text, arguments = list[str](), list[str](), list[str]()
    for piece in read.pieces:
        thought, rest = thoughts.parse_stream_chunk(piece)
        reasoning.append(thought or "")
        if calls is not None and rest:
            rest, made = calls.parse_stream_chunk(rest)
            arguments += [call.parameters for call in made]
        text.append(rest or "")
    return Parsed("".join(reasoning), "".join(text), "".join(arguments))


def parsers(form: str, tokens: int) -> Mapping[str, Callable[[Completion], Parsed]]:
    """The sides that take part in a completion."""
    sides = {"worker": by_worker, "openai_harmony": by_openai_harmony}
    if tokens <= SGLANGS_LONGEST:
        sides["SGLang"] = partial(by_sglang, tools=True)
    if form != "call":
        sides["SGLang, no tools on offer"] = partial(by_sglang, tools=False)
    return sides


async def parser_figures(form: str, tokens: int, rounds: int) -> list[Figure]:
    read = completion(form, tokens)
    expected = by_worker(read)

    async def cost(parse: Callable[[Completion], Parsed]) -> float:
        started = time.process_time()
        parsed = parse(read)
        spent = time.process_time() - started
        assert parsed == expected
        return spent / len(read.ids) * 1e6

    sides = {name: partial(cost, parse) for name, parse in parsers(form, tokens).items()}
    measured = await in_turn(sides, rounds)
    case: Case = {"form": form, "tokens": tokens}
    return [
        Figure("parser", side, "CPU µs per token", case, costs) for side, costs in measured.items()
    ]


# The renderer


def for_worker(messages: Messages) -> Conversation:
    made: list[User | Called | Result] = []
    for message in messages:
        match message:
            case {"role": "assistant", "tool_calls": [{"id": call_id, "function": function}]}:
                made.append(Called(function["name"], function["arguments"], call_id))
            case {"role": "tool", "tool_call_id": call_id, "content": content}:
                made.append(Result(content, call_id))
            case _:
                made.append(User(message["content"]))
    return Conversation(made)


def for_openai_harmony(messages: Messages) -> HarmonyConversation:
    of = HarmonyMessage.from_role_and_content
    made = [of(Role.SYSTEM, SystemContent.new())]
    tool = Author.new(Role.TOOL, "functions.read")  # the only one in these histories
    for message in messages:
        match message:
            case {"role": "assistant", "tool_calls": [{"function": function}]}:
                call = of(Role.ASSISTANT, function["arguments"]).with_channel("commentary")
                to = call.with_recipient(f"functions.{function['name']}")
                made.append(to.with_content_type("<|constrain|>json"))
            case {"role": "tool", "content": content}:
                result = HarmonyMessage.from_author_and_content(tool, content)
                made.append(result.with_channel("commentary").with_recipient("assistant"))
            case _:
                made.append(of(Role.USER, message["content"]))
    return HarmonyConversation.from_messages(made)


def rendered_by_openai_harmony(conversation: HarmonyConversation) -> list[int]:
    return encoding().render_conversation_for_completion(conversation, Role.ASSISTANT)


def kilobytes(messages: Messages) -> float:
    """The UTF-8 size of all texts in a history, arguments included, in 1,000 bytes."""
    texts = [message.get("content") or "" for message in messages]
    calls = [call for message in messages for call in message.get("tool_calls", ())]
    texts += [call["function"]["arguments"] for call in calls]
    return sum(len(text.encode()) for text in texts) / 1000


def renderers(tokens: int) -> Mapping[str, Callable[[], Awaitable[float]]]:
    """The sides, each as what renders a history of its own of about `tokens` tokens, and returns
    the CPU microseconds for each kilobyte of it."""
    seeds = itertools.count()

    async def new() -> float:
        messages = history(next(seeds), tokens)
        return cost(messages, partial(render, for_worker(messages)))

    async def next_turn() -> float:
        messages = history(next(seeds), tokens)
        render(for_worker(messages[:-2]))
        return cost(messages, partial(render, for_worker(messages)))

    async def openai_harmony() -> float:
        messages = history(next(seeds), tokens)
        conversation = for_openai_harmony(messages)
        return cost(messages, partial(rendered_by_openai_harmony, conversation))

    def cost(messages: Messages, rendering: Callable[[], Sequence[int]]) -> float:
        started = time.process_time()
        rendering()
        return (time.process_time() - started) / kilobytes(messages) * 1e6

    return {"worker, new": new, "worker, next turn": next_turn, "openai_harmony": openai_harmony}


async def renderer_figures(tokens: int, rounds: int) -> list[Figure]:
    measured = await in_turn(renderers(tokens), rounds)
    return [
        Figure("renderer", side, "CPU µs per kB", {"tokens": tokens}, costs)
        for side, costs in measured.items()
    ]


if __name__ == "__main__":
    quick = question_parser("parsing", __doc__).parse_args().quick
    asyncio.run(main(QUICK_ROUNDS, QUICK_LONGEST) if quick else main(ROUNDS, max(PROMPTS)))

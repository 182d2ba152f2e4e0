"""Renders a conversation in the format that gpt-oss was trained on.

A prompt is a system message, a developer message (instructions, tools, response format), the
conversation, and the beginning of the assistant's next turn, `<|start|>assistant`. It is rendered
as segments of which `encoded_text` makes token ids: `[header, "Hi", END]`. A history has few
different headers, so their ids are kept here.

Rules:
- Text from clients is encoded as ordinary text, in headers too, so no marker can be injected.
- Calls are written as the model writes them (`<|channel|>commentary to=functions.NAME
  <|constrain|>json`), so that a longer history begins with the ids of the previous prompt.
- Reasoning since the last final answer is kept; older reasoning is dropped.
- A result is matched to the call with the same ID. If several calls have that ID (some clients send
  an empty or a constant one), calls without a result are preferred, then the one with the same
  name, then the earliest.
- Deferred tools are shown in the results that make them known, so the head stays the same (and in
  the prefix cache) whichever of them the model has found.
- In author names, characters with a special meaning in headers are replaced; no name is rejected.
Source: OpenAI's Harmony guide, and its guide to verifying gpt-oss implementations.
"""

import re
from collections import Counter
from collections.abc import Container, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple

from worker.errors import BadRequest
from worker.harmony.conversation import (
    Called,
    Conversation,
    Instruction,
    Message,
    Result,
    Said,
    Thought,
    User,
    after_answer,
)
from worker.harmony.encoded_text import Segment, join
from worker.harmony.rendering.instructions import developer, system, tools_section
from worker.harmony.rendering.memory import TurnMemory
from worker.harmony.tool_names import recipient
from worker.harmony.vocabulary import CALL, CHANNEL, CONSTRAIN, END, MESSAGE, START

MAX_NAME_LENGTH = 128
"""An author's name is cut to this many characters."""
MAX_KEPT_NAME = 200
"""Headers with longer names, which only a client's history can have, are not kept: what is kept is
bounded."""
_NOT_IN_NAME = re.compile(r"[\s\x00-\x1f\x7f<>|\\/]+")


def render(
    conversation: Conversation,
    *,
    effort: str = "medium",
    date: str | None = None,
    memory: TurnMemory | None = None,
    reasoning: Counter[str] | None = None,
) -> list[int]:
    """The token ids of `segments`."""
    return join(
        segments(conversation, effort=effort, date=date, memory=memory, reasoning=reasoning)
    ).tolist()


def segments(
    conversation: Conversation,
    *,
    effort: str = "medium",
    date: str | None = None,
    memory: TurnMemory | None = None,
    reasoning: Counter[str] | None = None,
) -> list[Segment]:
    """The prompt for the next turn of `conversation`.

    `effort` applies if the conversation specifies none. `date` (YYYY-MM-DD) is optional, since a
    date at the beginning of the prompt invalidates the prefix cache every day. `memory` provides
    the exact ids of turns with calls. `reasoning` is increased by where the reasoning of each turn
    since the last answer came from: `capsule` (exact ids), `content` (text), `memory`, or `lost` if
    a turn with calls has none.
    Raises BadRequest if a result matches no call and has no name.
    """
    messages, wanted = conversation.messages, conversation.wanted
    leading = list(takewhile(lambda message: isinstance(message, Instruction), messages))
    instructions = "\n\n".join(m.text for m in leading if isinstance(m, Instruction) and m.text)
    made: list[Segment] = [system(wanted.effort or effort, bool(wanted.tools), date)]
    made += developer(instructions, [t for t in wanted.tools if not t.deferred], wanted.answer)
    offered = {tool.name for tool in wanted.tools}
    history = _History(messages[len(leading) :], offered, memory)
    made += history.render()
    if reasoning is not None:
        reasoning.update(history.reasoning)
    return [*made, START, "assistant"]


class _History:
    """Renders the messages after the leading instructions, one by one."""

    def __init__(
        self, messages: Sequence[Message], offered: Container[str], memory: TurnMemory | None
    ) -> None:
        """`offered`: the names of the functions in the request."""
        self.reasoning: Counter[str] = Counter()
        self._messages = messages
        self._offered = offered
        self._memory = memory
        self._calls = _Calls()
        self._reasoning_from = after_answer(messages)

    def render(self) -> list[Segment]:
        made: list[Segment] = []
        at = 0
        while at < len(self._messages):
            match self._messages[at]:
                case Result():
                    results = _run(self._messages, at, Result)
                    made += self._results(results)
                    at += len(results)
                case Thought() | Said() | Called():
                    turn = _turn(self._messages, at)
                    count, rendered = self._assistant(turn, at)
                    made += rendered
                    at += count
                case User(text=text, name=name):
                    shown = _shown(name)
                    made += _message(f"user:{shown}" if shown else "user", None, text)
                    at += 1
                case Instruction(text=text):
                    made += developer(text)
                    at += 1
        return made

    def _assistant(self, turn: Sequence[Message], at: int) -> tuple[int, list[Segment]]:
        """Renders the beginning of an assistant's turn; returns the number of messages rendered,
        and their segments.

        A remembered turn may be only the beginning of `turn`: a chat client that received two turns
        without a result in between sends them as one sequence of messages.
        """
        keeps_reasoning = at >= self._reasoning_from
        if keeps_reasoning and self._memory is not None:
            recalled = self._memory.recall(turn)
            if recalled is not None:
                self.reasoning["memory"] += 1
                self._calls.add(turn[: recalled.message_count])
                return recalled.message_count, [START, "assistant", recalled.ids]
        self._calls.add(turn)
        if keeps_reasoning:
            for source in _reasoning_sources(turn):
                self.reasoning[source] += 1
        made: list[Segment] = []
        for message in turn:
            match message:
                case Thought(text=text, ids=exact) if keeps_reasoning:
                    made += _message("assistant", "analysis", text if exact is None else exact)
                case Said(text=text, phase=phase):
                    made += _message("assistant", phase, text)
                case Called():
                    made += self._call(message)
                case _:
                    pass
        return len(turn), made

    def _call(self, call: Called) -> list[Segment]:
        to = recipient(call.name, self._offered)
        header = _call_header if len(to) <= MAX_KEPT_NAME else _call_header.__wrapped__
        return [header(to), call.arguments, CALL]

    def _results(self, results: Sequence[Message]) -> list[Segment]:
        """The results of one turn, in the order of their calls; those with an id match first."""
        found = [each for each in results if isinstance(each, Result)]
        if len(found) == 1:  # as most are
            return self._result(found[0])[1]
        rendered = [self._result(each) for each in sorted(found, key=lambda r: not r.call_id)]
        in_order = sorted(rendered, key=lambda each: each[0])
        return [segment for _, message in in_order for segment in message]

    def _result(self, result: Result) -> tuple[int, list[Segment]]:
        call = self._calls.answered_by(result)
        author = f"{recipient(call.name, self._offered)} to=assistant"
        text = result.text
        if result.tools:
            text = "\n\n".join(filter(None, (text, tools_section(result.tools))))
        return call.order, _message(author, "commentary", text)


def _reasoning_sources(turn: Sequence[Message]) -> list[str]:
    """`[Thought("…", ids), Called(…)]` has its reasoning from a capsule, `[Called(…)]` lost it."""
    thoughts = [message for message in turn if isinstance(message, Thought)]
    if thoughts:
        return ["content" if thought.ids is None else "capsule" for thought in thoughts]
    return ["lost"] if any(isinstance(message, Called) for message in turn) else []


def _run(messages: Sequence[Message], at: int, *kinds: type[Message]) -> Sequence[Message]:
    """The messages of some kinds from `at` on. Only these are looked at: histories are long."""
    end = at
    while end < len(messages) and isinstance(messages[end], kinds):
        end += 1
    return messages[at:end]


def _turn(messages: Sequence[Message], at: int) -> Sequence[Message]:
    """The assistant's messages from `at` on, up to a final answer."""
    turn = _run(messages, at, Thought, Said, Called)
    for end, message in enumerate(turn, 1):
        if isinstance(message, Said) and message.phase == "final":
            return turn[:end]
    return turn


class _CallInHistory(NamedTuple):
    """`order` counts the calls of the whole history."""

    order: int
    name: str


class _Calls:
    """The calls of the history so far, to find the call that a result answers."""

    def __init__(self) -> None:
        self._count = 0
        self._by_id: dict[str, list[_CallInHistory]] = {}
        self._answered: set[int] = set()

    def add(self, turn: Sequence[Message]) -> None:
        """Adds the calls of one turn. A repeated id refers to the new call from here on."""
        new: dict[str, list[_CallInHistory]] = {}
        for call in turn:
            if isinstance(call, Called):
                new.setdefault(call.id, []).append(_CallInHistory(self._count, call.name))
                self._count += 1
        self._by_id.update(new)

    def answered_by(self, result: Result) -> _CallInHistory:
        """The call that a result answers. Raises BadRequest if it matches none."""
        call = self._find(result.call_id, result.name)
        if call is None and result.name:
            # The client left its call out of the history.
            return _CallInHistory(self._count, _shown(result.name))
        if call is None:
            raise BadRequest(
                f"No earlier assistant message has a tool call with the id {result.call_id!r}.",
                param=result.field,
            )
        self._answered.add(call.order)
        return call

    def _find(self, call_id: str, name: str) -> _CallInHistory | None:
        if not call_id:
            # `role: function` has only a name, and some clients send a result with neither.
            found = [call for calls in self._by_id.values() for call in calls]
            found = [call for call in found if not name or call.name == name] or (
                self._by_id.get("", [])
            )
        else:
            found = self._by_id.get(call_id, [])
        if len(found) == 1:
            return found[0]
        return min(found, key=lambda call: self._preference(call, name), default=None)

    def _preference(self, call: _CallInHistory, name: str) -> tuple[bool, bool, int]:
        """The sort key for choosing a result's call: unanswered first, then its name, then the
        earliest (of answered calls, the latest)."""
        done = call.order in self._answered
        return done, call.name != name, -call.order if done else call.order


def _shown(name: str) -> str:
    """An author's name without whitespace and marker characters: `Ann Lee` becomes `Ann_Lee`."""
    return _NOT_IN_NAME.sub("_", name.strip())[:MAX_NAME_LENGTH]


def _message(author: str, channel: str | None, body: str | Sequence[int]) -> list[Segment]:
    header = _header if len(author) <= MAX_KEPT_NAME else _header.__wrapped__
    return [header(author, channel), body, END]


@lru_cache(maxsize=1024)
def _header(author: str, channel: str | None) -> Sequence[int]:
    """`<|start|>user<|message|>`, `<|start|>assistant<|channel|>final<|message|>`."""
    return join([START, author, *((CHANNEL, channel) if channel else ()), MESSAGE])


@lru_cache(maxsize=1024)
def _call_header(to: str) -> Sequence[int]:
    """`<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>`."""
    written = (f"commentary to={to} ", CONSTRAIN, "json")
    return join([START, "assistant", CHANNEL, *written, MESSAGE])

"""A chat completion request, rendered as the token ids that gpt-oss was trained on.

Rules:
- Text from outside is encoded as ordinary text, headers included: no marker can be injected.
- Calls are written as the model writes them (`<|channel|>commentary to=functions.NAME
  <|constrain|>json`), so that a history that grew by a turn begins with the ids of the last one.
- Reasoning since the last final answer is kept, older reasoning is dropped.
- A result belongs to the call that its id names. Where an id names several calls (clients send ""
  or a constant), it belongs to the one of its name, else to the first that has no result yet.
- An author's name is shown without the characters that a header is made of; it is never refused.
Source: OpenAI's Harmony guide, and its guide to verifying gpt-oss implementations.
"""

import json
import re
from collections.abc import Container, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from worker.errors import BadRequest
from worker.harmony.instructions import answer_format, developer, system
from worker.harmony.memory import TurnMemory
from worker.harmony.tool_names import recipient
from worker.harmony.vocabulary import CALL, CHANNEL, CONSTRAIN, END, MESSAGE, START, encode

Json = Any  # A JSON value of the request, validated by worker.api before it comes here.

LONGEST_NAME = 128
"""Characters of an author's name that are shown."""
_NO_NAME = re.compile(r"[\s\x00-\x1f\x7f<>|\\/]+")


def render_prompt(
    request: Mapping[str, Json],
    *,
    effort: str = "medium",
    date: str | None = None,
    memory: TurnMemory | None = None,
) -> list[int]:
    """Token ids of the prompt for `request`, a chat completion request as a dict.

    `effort` is taken where the request has no `reasoning_effort`; `date` (YYYY-MM-DD) is shown to
    the model only when given, since a date in the prompt's head empties the prefix cache daily;
    `memory` is asked for the exact ids of turns with calls.
    Raises BadRequest for a role that Harmony cannot place or a result without its call.
    """
    messages: Sequence[Mapping[str, Json]] = request["messages"]
    tools = request.get("tools") or []
    first = next((i for i, m in enumerate(messages) if not _instructs(m)), len(messages))
    ids = list(system(request.get("reasoning_effort") or effort, bool(tools), date))
    answer = answer_format(request.get("response_format"))
    ids += developer(_joined(messages[:first]), json.dumps(tools), answer)
    offered = {tool["function"]["name"] for tool in tools}
    ids += _History(messages[first:], offered, memory).render()
    return [*ids, START, *_word("assistant")]


def text_of(content: Json) -> str:
    """The text of a message's `content`: null, a string, or text parts (joined by newlines)."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or part.get("refusal") or "" for part in content)


class _History:
    """The messages after the leading instructions, one by one."""

    def __init__(
        self,
        messages: Sequence[Mapping[str, Json]],
        offered: Container[str],
        memory: TurnMemory | None,
    ) -> None:
        """`offered`: the names of the functions that the request offers."""
        self._messages = messages
        self._offered = offered
        self._memory = memory
        self._calls = _Calls()
        finals = [i for i, m in enumerate(messages) if _is_final(m)]
        self._reasoning_from = finals[-1] + 1 if finals else 0

    def render(self) -> list[int]:
        ids: list[int] = []
        results: list[tuple[int, list[int]]] = []
        for i, message in enumerate(self._messages):
            if message["role"] in ("tool", "function"):
                results.append(self._result(message))
                continue
            ids += _in_order(results)
            results = []
            ids += self._message(i, message)
        return ids + _in_order(results)

    def _message(self, i: int, message: Mapping[str, Json]) -> list[int]:
        match message["role"]:
            case "user":
                name = _shown(message.get("name") or "")
                author = f"user:{name}" if name else "user"
                return _plain(author, None, text_of(message.get("content")))
            case "assistant":
                return self._assistant(message, keep_reasoning=i >= self._reasoning_from)
            case "system" | "developer":
                return list(developer(text_of(message.get("content"))))
            case role:
                raise BadRequest(f"Unknown role: {role!r}.", param=f"messages[{i}].role")

    def _assistant(self, message: Mapping[str, Json], *, keep_reasoning: bool) -> list[int]:
        reasoning = message.get("reasoning") or message.get("reasoning_content")
        content = text_of(message.get("content")) or message.get("refusal") or ""
        calls = _calls(message)
        self._calls.add(calls)
        if keep_reasoning and self._memory is not None:
            turn = self._memory.recall(calls, content, reasoning)
            if turn is not None:
                return [START, *_word("assistant"), *turn]
        ids: list[int] = []
        if reasoning and keep_reasoning:
            ids += _plain("assistant", "analysis", reasoning)
        if content:
            ids += _plain("assistant", "commentary" if calls else "final", content)
        for call in calls:
            ids += _call(call["function"], self._offered)
        return ids

    def _result(self, message: Mapping[str, Json]) -> tuple[int, list[int]]:
        call = self._calls.answered(message.get("tool_call_id"), message.get("name"))
        author = f"{recipient(call.name, self._offered)} to=assistant"
        return call.order, _plain(author, "commentary", text_of(message.get("content")))


class _CallInHistory(NamedTuple):
    """`order` counts the calls of the whole history."""

    order: int
    name: str


class _Calls:
    """The calls of a history so far, to find the one that a result answers."""

    def __init__(self) -> None:
        self._count = 0
        self._by_id: dict[str, list[_CallInHistory]] = {}
        self._answered: set[int] = set()

    def add(self, calls: Sequence[Mapping[str, Json]]) -> None:
        """The calls of one message. An id that comes again means the new call from here on."""
        new: dict[str, list[_CallInHistory]] = {}
        for call in calls:
            noted = _CallInHistory(self._count, call["function"]["name"])
            new.setdefault(call.get("id") or "", []).append(noted)
            self._count += 1
        self._by_id.update(new)

    def answered(self, call_id: str | None, name: str | None) -> _CallInHistory:
        """The call that a result is of. Raises BadRequest if it names none."""
        call = self._find(call_id, name)
        if call is None and name:
            return _CallInHistory(self._count, _shown(name))  # its call was left out of the history
        if call is None:
            raise BadRequest(
                f"No earlier assistant message has a tool call with the id {call_id or ''!r}.",
                param="messages",
            )
        self._answered.add(call.order)
        return call

    def _find(self, call_id: str | None, name: str | None) -> _CallInHistory | None:
        if not call_id:
            # `role: function` has a name alone, and some clients send a result with neither.
            found = [call for calls in self._by_id.values() for call in calls]
            found = [call for call in found if not name or call.name == name] or (
                self._by_id.get("", [])
            )
        else:
            found = self._by_id.get(call_id, [])
        return min(found, key=lambda call: self._preference(call, name), default=None)

    def _preference(self, call: _CallInHistory, name: str | None) -> tuple[bool, bool, int]:
        """What a result's call is chosen by, the least first: unanswered, of its name, early."""
        done = call.order in self._answered
        return done, call.name != name, -call.order if done else call.order


def _call(function: Mapping[str, Json], offered: Container[str]) -> list[int]:
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = json.dumps({} if arguments is None else arguments, ensure_ascii=False)
    header = [START, *_word("assistant"), CHANNEL]
    header += encode(f"commentary to={recipient(function['name'], offered)} ")
    return [*header, CONSTRAIN, *_word("json"), MESSAGE, *encode(arguments), CALL]


def _calls(message: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """The calls of an assistant message, the deprecated `function_call` among them."""
    if function := message.get("function_call"):
        return [{"id": function["name"], "function": function}]
    return message.get("tool_calls") or []


def _shown(name: str) -> str:
    """An author's name without blanks and what markers are written with: `Ann Lee` is `Ann_Lee`."""
    return _NO_NAME.sub("_", name.strip())[:LONGEST_NAME]


def _is_final(message: Mapping[str, Json]) -> bool:
    answers = message["role"] == "assistant" and not _calls(message)
    return answers and bool(text_of(message.get("content")) or message.get("refusal"))


def _instructs(message: Mapping[str, Json]) -> bool:
    return message["role"] in ("system", "developer")


def _joined(messages: Sequence[Mapping[str, Json]]) -> str:
    return "\n\n".join(filter(None, (text_of(m.get("content")) for m in messages)))


def _in_order(results: list[tuple[int, list[int]]]) -> list[int]:
    """The results of one turn, in the order of their calls."""
    ordered = sorted(results, key=lambda result: result[0])
    return [token for _, ids in ordered for token in ids]


def _plain(author: str, channel: str | None, text: str) -> list[int]:
    header = [START, *encode(author)]
    if channel:
        header += [CHANNEL, *_word(channel)]
    return [*header, MESSAGE, *encode(text), END]


@lru_cache(maxsize=64)
def _word(text: str) -> tuple[int, ...]:
    return tuple(encode(text))

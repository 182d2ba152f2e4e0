"""One choice of a chat completion: an engine's steps in, deltas out.

Rule: what a delta shows has passed the stop strings, and a token's log probability goes out with
the text that the token is part of. Reasoning and arguments are never searched for stop strings.
Where the client takes one call at a time, the answer ends before a second one.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from worker.api.chat import ChatRequest
from worker.api.stop import StopStrings, without_stop_token
from worker.api.usage import ChoiceUsage
from worker.generation import Step, TokenLogprob
from worker.harmony import (
    Delta,
    Event,
    MessageFold,
    Parser,
    Reasoning,
    Text,
    ToolCallBegun,
    delta_of,
)
from worker.harmony.vocabulary import FIRST_SPECIAL, token_bytes

FinishReason = Literal["stop", "length", "tool_calls"]


class Part(NamedTuple):
    """What a choice has to say after a step."""

    delta: Delta
    logprobs: list[dict[str, Any]]


class Choice:
    """`take` steps until `finish_reason` is set; then nothing more comes of this choice.

    `ids` are those taken so far, `message` is what was told of them.
    """

    def __init__(self, request: ChatRequest) -> None:
        tools = [tool.model_dump() for tool in request.tools or ()]
        self.usage = ChoiceUsage()
        self.finish_reason: FinishReason | None = None
        self.ids: list[int] = []
        self._parser = Parser(tools)
        self._told = MessageFold()
        self._stop_ids = frozenset(request.stop_token_ids or ())
        self._shows_reasoning = request.include_reasoning is not False
        self._stop = StopStrings(request.stop) if request.stop else None
        self._one_call = request.parallel_tool_calls is False
        self._logprobs = bool(request.logprobs)
        self._pending: list[dict[str, Any]] = []  # log probabilities of text not sent yet

    @property
    def recoveries(self) -> Counter[str]:
        """What the parser had to mend, by kind."""
        return self._parser.recoveries

    def take(self, step: Step) -> Part:
        """What this step adds to the answer; `finish_reason` is set with the last one."""
        self.usage.count(step)
        step = without_stop_token(step, self._stop_ids)
        self.ids += step.ids
        events = self._feed_one_by_one(step) if self._logprobs else self._parser.feed(step.ids)
        ended = step.finish_reason is not None
        if ended:
            events += self._parser.finish()
        self.usage.reasoning = self._parser.reasoning_tokens
        second_call = _second_call(events) if self._one_call else None
        if second_call is not None:
            events, ended = events[:second_call], True
        if self._stop is not None:
            events = self._visible(self._stop, events, last=ended)
        if self._stop is not None and self._stop.hit:
            self.finish_reason = "stop"
        elif ended:
            self.finish_reason = self._reason(step)
        return self._part(events)

    def message(self) -> dict[str, Any]:
        """The assistant message that all deltas so far add up to."""
        return self._told.message()

    def _reason(self, step: Step) -> FinishReason:
        if step.finish_reason == "length":
            return "length"
        return "tool_calls" if self._parser.calls else "stop"

    def _visible(self, stop: StopStrings, events: Iterable[Event], *, last: bool) -> list[Event]:
        """The events as far as the stop strings let them pass."""
        visible: list[Event] = []
        for event in events:
            if isinstance(event, Text):
                visible.append(Text(stop.feed(event.text)))
            else:
                visible += [Text(stop.flush()), event]
            if stop.hit:
                return visible
        return [*visible, Text(stop.flush())] if last else visible

    def _feed_one_by_one(self, step: Step) -> list[Event]:
        """Feeds token by token, to know which tokens the visible text is made of."""
        events: list[Event] = []
        for token, entry in zip(step.ids, step.logprobs, strict=True):
            if self._parser.in_text and token < FIRST_SPECIAL:
                self._pending.append(_logprob(entry))
            events += self._parser.feed([token])
        return events

    def _part(self, events: Iterable[Event]) -> Part:
        if not self._shows_reasoning:
            events = [event for event in events if not isinstance(event, Reasoning)]
        delta = delta_of(events)
        self._told.add(delta)
        if not self._pending or "content" not in delta:
            return Part(delta, [])
        logprobs, self._pending = self._pending, []
        return Part(delta, logprobs)


def _second_call(events: Iterable[Event]) -> int | None:
    """Where a second call begins among `events`, if one does."""
    begun = (at for at, e in enumerate(events) if isinstance(e, ToolCallBegun) and e.index > 0)
    return next(begun, None)


def _logprob(entry: TokenLogprob) -> dict[str, Any]:
    top = [_token(token, logprob) for token, logprob in entry.top]
    return {**_token(entry.id, entry.logprob), "top_logprobs": top}


def _token(token: int, logprob: float) -> dict[str, Any]:
    """A token as OpenAI shows it: its text, its log probability, its bytes."""
    data = token_bytes()[token] if token < FIRST_SPECIAL else b""
    return {"token": data.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(data)}

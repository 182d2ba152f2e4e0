"""One model turn: converts engine steps to the events to send, and determines how the turn ended.

Independent of any API. A reader (Harmony's parser, or raw text) converts token IDs to events. A
turn then drops events that the request excludes, ends at a stop string or before a second call,
counts tokens, and delays each token's log probability until its text is sent.

Rule: events returned by `take` have passed the stop string filter. Reasoning and tool call
arguments are never searched for stop strings.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from worker.generation import Step, TokenLogprob
from worker.harmony.conversation import Called, Message, Said, Thought
from worker.harmony.events import (
    Event,
    Finished,
    Kind,
    MessageBegun,
    MessageEnded,
    Text,
    ToolCallBegun,
)
from worker.harmony.text_buffer import TokenBuffer
from worker.harmony.vocabulary import FIRST_SPECIAL, decode
from worker.stop_strings import StopStrings


class CompletionReader(Protocol):
    """Converts a completion's token IDs to events."""

    recoveries: Counter[str]
    """How often malformed output had to be recovered, by kind."""

    @property
    def reasoning_tokens(self) -> int:
        """How many tokens so far were reasoning."""
        ...

    @property
    def calls(self) -> int:
        """How many tool calls there were so far."""
        ...

    @property
    def in_text(self) -> bool:
        """Whether the next ordinary token is part of the visible text."""
        ...

    def feed(self, ids: Sequence[int]) -> list[Event]: ...

    def finish(self) -> list[Event]: ...


@dataclass(frozen=True, slots=True)
class TurnOptions:
    """How a request's turns end and what they show.

    `stop`: strings that end the answer and are not shown. `stop_ids`: ordinary tokens that end the
    generation and are not shown either. `one_call`: end the answer before a second tool call.
    `reasoning`, `logprobs`: whether to show them.
    """

    stop: Sequence[str] = ()
    stop_ids: frozenset[int] = frozenset()
    one_call: bool = False
    reasoning: bool = True
    logprobs: bool = False


WithReasoning = Callable[[str, Sequence[int]], str]
"""A call's id with reasoning in it, given as its token IDs."""


class Ending(NamedTuple):
    """Why a turn ended.

    `stop_string` is the stop string that was found, if any. `context_full`: the context was full
    before the request's `max_tokens` was reached.
    """

    reason: Literal["stop", "length", "calls"]
    stop_string: str | None = None
    context_full: bool = False


@dataclass(slots=True)
class Usage:
    """Token counts of a turn.

    `cached`: prompt tokens found in the prefix cache. `reasoning`: completion tokens in the
    analysis channel.
    """

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0


def total(usages: Sequence[Usage], choices: int) -> Usage:
    """The usage of all turns of a request, `choices` per prompt. Each prompt counts once."""
    of_prompts = [usages[at : at + choices] for at in range(0, len(usages), choices)]
    return Usage(
        prompt=sum(max(usage.prompt for usage in turns) for turns in of_prompts),
        cached=sum(turns[0].cached for turns in of_prompts),
        completion=sum(usage.completion for usage in usages),
        reasoning=sum(usage.reasoning for usage in usages),
    )


class TextLogprob(NamedTuple):
    """A token's log probability, and the offset of its first character in the visible text."""

    offset: int
    token: TokenLogprob


class TurnOutput(NamedTuple):
    """What a step adds to the answer.

    `ending` is set only on the last output. `ids` and `usage` are the turn's running totals, not
    copies: they change with the next step.
    """

    events: Sequence[Event]
    ids: TokenBuffer
    usage: Usage
    ending: Ending | None = None
    logprobs: Sequence[TextLogprob] = ()


class Turn:
    """Call `take` with each step until `ending` is set; the turn is over then.

    `ids` are the token IDs of all steps so far. `limited_by_context`: the context leaves less room
    than the request's `max_tokens`. `with_reasoning` puts the reasoning before a call into its id,
    if ids are to carry it.
    """

    def __init__(
        self,
        reader: CompletionReader,
        options: TurnOptions,
        *,
        limited_by_context: bool = False,
        with_reasoning: WithReasoning | None = None,
    ) -> None:
        self._limited_by_context = limited_by_context
        self.usage = Usage()
        self.ending: Ending | None = None
        self.ids = TokenBuffer()
        self._reader = reader
        self._options = options
        self._filter = _StopStringFilter(options.stop) if options.stop else None
        self._in_reasoning = False
        self._carrier = _ReasoningCarrier(with_reasoning) if with_reasoning else None
        self._collected = _MessageCollector()
        self._logprobs = _LogprobBuffer()

    @property
    def recoveries(self) -> Counter[str]:
        """How often malformed output had to be recovered, by kind."""
        return self._reader.recoveries

    @property
    def messages(self) -> list[Message]:
        """The output so far, as the messages that a client may send back."""
        return self._collected.messages(self.ids)

    def take(self, step: Step) -> TurnOutput:
        """Processes a step and returns what can now be shown. Sets `ending` on the last one."""
        self._count(step)
        step = _without_stop_token(step, self._options.stop_ids)
        self.ids.extend(step.ids)
        events = self._read(step)
        ended = step.finish_reason is not None
        if ended:
            events += self._reader.finish()
        if self._carrier is not None:
            self._carrier.take(events, self.ids)
        self.usage.reasoning = self._reader.reasoning_tokens
        if self._options.one_call and (second := _second_call(events)) is not None:
            events, ended = events[:second], True
        if self._filter is not None:
            events = self._filter.take(events, last=ended)
        if self._filter is not None and self._filter.found is not None:
            self.ending = Ending("stop", self._filter.found)
        elif ended:
            self.ending = self._ending(step)
        if not self._options.reasoning:
            events = self._without_reasoning(events)
        self._collected.add(events)
        if not self._options.logprobs:
            return TurnOutput(events, self.ids, self.usage, self.ending)
        cut = self.ending is not None and self.ending.stop_string is not None
        logprobs = self._logprobs.release(events, all_=self.ending is not None and not cut)
        return TurnOutput(events, self.ids, self.usage, self.ending, logprobs)

    def _count(self, step: Step) -> None:
        if step.completion_tokens:
            self.usage.prompt = step.prompt_tokens
            self.usage.cached = step.cached_tokens
            self.usage.completion = step.completion_tokens

    def _read(self, step: Step) -> list[Event]:
        """A step's events.

        With log probabilities, tokens are parsed one by one, to know which text each is part of.
        """
        if not self._options.logprobs:
            return self._reader.feed(step.ids)
        events: list[Event] = []
        for token, entry in zip(step.ids, step.logprobs, strict=True):
            if self._reader.in_text and token < FIRST_SPECIAL:
                self._logprobs.add(entry)
            new = self._reader.feed([token])
            self._logprobs.advance(new)
            events += new
        return events

    def _without_reasoning(self, events: Iterable[Event]) -> list[Event]:
        """`events` without the messages of the analysis channel."""
        kept: list[Event] = []
        for event in events:
            if isinstance(event, MessageBegun):
                self._in_reasoning = event.kind is Kind.REASONING
            if not self._in_reasoning or isinstance(event, Finished):
                kept.append(event)
        return kept

    def _ending(self, step: Step) -> Ending:
        if step.finish_reason == "length":
            return Ending("length", context_full=self._limited_by_context)
        return Ending("calls" if self._reader.calls else "stop")


def _without_stop_token(step: Step, stop_ids: frozenset[int]) -> Step:
    """Removes the ordinary token from `stop_ids` that ended a step; special tokens are kept."""
    if step.finish_reason != "stop" or not step.ids:
        return step
    last = step.ids[-1]
    if last not in stop_ids or last >= FIRST_SPECIAL:
        return step
    return step._replace(ids=step.ids[:-1], logprobs=step.logprobs[:-1])


def _second_call(events: Sequence[Event]) -> int | None:
    """The index in `events` where a second tool call's message begins, if any."""
    for at, event in enumerate(events):
        if isinstance(event, ToolCallBegun) and event.index > 0:
            return at - 1  # its MessageBegun comes right before it
    return None


class _StopStringFilter:
    """Holds back events until their text cannot be part of a stop string.

    To a reader, the texts of adjacent messages are one text, so a stop string may begin in a
    preamble and end in the answer. While the end of a text is held back, so is its message's end
    event.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._stop = StopStrings(strings)
        self._waiting: deque[Event] = deque()

    @property
    def found(self) -> str | None:
        """The stop string that was found; nothing passes after it."""
        return self._stop.found

    def take(self, events: Iterable[Event], *, last: bool) -> list[Event]:
        """The events that may pass now. `last`: no more events follow, so nothing is held back."""
        passed: list[Event] = []
        for event in events:
            self._waiting.append(event)
            if isinstance(event, Text):
                passed += self._release(len(self._stop.feed(event.text)))
            elif isinstance(event, MessageBegun | MessageEnded):
                passed += self._release(0)
            else:
                passed += self._release(len(self._stop.flush()))
            if self.found is not None:
                return passed
        if last:
            passed += self._release(len(self._stop.flush()))
        return passed

    def _release(self, characters: int) -> Iterator[Event]:
        """Releases waiting events with up to `characters` of text, splitting a text if needed."""
        while self._waiting:
            event = self._waiting.popleft()
            if isinstance(event, Text) and len(event.text) > characters:
                self._waiting.appendleft(Text(event.text[characters:]))
                if characters:
                    yield Text(event.text[:characters])
                return
            if isinstance(event, Text):
                characters -= len(event.text)
            yield event


@dataclass(slots=True)
class _ReasoningCarrier:
    """Puts the reasoning before each call into the call's id."""

    with_reasoning: WithReasoning
    in_reasoning: bool = False
    waiting: list[int] = field(default_factory=list[int])  # reasoning since the last call

    def take(self, events: Iterable[Event], ids: TokenBuffer) -> None:
        """Changes the ids of the calls that begin in `events`. `ids`: the turn's token IDs."""
        for event in events:
            match event:
                case MessageBegun(kind):
                    self.in_reasoning = kind is Kind.REASONING
                case MessageEnded(span=span) if self.in_reasoning:
                    self.waiting += ids.slice(span.start, span.stop)
                case ToolCallBegun(id=call_id):
                    event.id = self.with_reasoning(call_id, self.waiting)
                    self.waiting = []
                case _:
                    pass


@dataclass(slots=True)
class _LogprobBuffer:
    """Delays each log probability until the text of its token is sent."""

    read: int = 0  # characters of visible text parsed
    sent: int = 0
    waiting: list[TextLogprob] = field(default_factory=list[TextLogprob])

    def add(self, entry: TokenLogprob) -> None:
        self.waiting.append(TextLogprob(self.read, entry))

    def advance(self, events: Iterable[Event]) -> None:
        self.read += sum(len(event.text) for event in events if isinstance(event, Text))

    def release(self, events: Iterable[Event], *, all_: bool) -> list[TextLogprob]:
        """Removes and returns the log probabilities of tokens whose text has begun to be sent.

        `events` are those sent now. `all_`: return all that are left.
        """
        self.sent += sum(len(event.text) for event in events if isinstance(event, Text))
        ready = [each for each in self.waiting if all_ or each.offset < self.sent]
        del self.waiting[: len(ready)]
        return ready


class _MessageCollector:
    """Builds messages from events. Until the end it holds no text: that of whole messages is in the
    turn's IDs, and the parser has that of calls."""

    def __init__(self) -> None:
        self._kind = Kind.FOREIGN  # of the open message
        self._spans: dict[Kind, list[range]] = {Kind.REASONING: [], Kind.TEXT: []}
        self._calls: list[ToolCallBegun] = []
        self._arguments: list[str] = []

    def add(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case MessageBegun(kind):
                    self._kind = kind
                case MessageEnded(span=span, arguments=arguments):
                    if self._kind is Kind.CALL:
                        self._arguments.append(arguments)
                    else:
                        self._spans[self._kind].append(span)
                case ToolCallBegun():
                    self._calls.append(event)
                case _:
                    pass

    def messages(self, ids: TokenBuffer) -> list[Message]:
        """The messages that have ended."""
        text, thought = self._text_of(Kind.TEXT, ids), self._text_of(Kind.REASONING, ids)
        calls = [
            Called(call.name, arguments, call.id)
            for call, arguments in zip(self._calls, self._arguments, strict=False)
        ]
        messages: list[Message] = [Thought(thought)] if thought else []
        if text:
            messages.append(Said(text, "commentary" if calls else "final"))
        return [*messages, *calls]

    def _text_of(self, kind: Kind, ids: TokenBuffer) -> str:
        bodies = (ids.slice(span.start, span.stop) for span in self._spans[kind])
        return "".join(decode([each for each in body if each < FIRST_SPECIAL]) for body in bodies)

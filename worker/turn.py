"""One turn of the model: an engine's steps in; what may be shown, and how it ended, out.

It knows no API. A reader makes events of token ids (Harmony's parser, or raw text); a turn lets
through what the request wants to see, ends where a stop string or a second call would be, counts
tokens, and keeps a token's log probability until the text that it is part of goes out.

Rule: what comes out of `take` has passed the stop strings. Reasoning and arguments are never
searched for them.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
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
    Reasoning,
    Text,
    ToolCallArguments,
    ToolCallBegun,
)
from worker.harmony.vocabulary import FIRST_SPECIAL
from worker.stop_strings import StopStrings


class CompletionReader(Protocol):
    """What makes events of a completion's ids."""

    recoveries: Counter[str]
    """What had to be mended in the output, by kind."""

    @property
    def reasoning_tokens(self) -> int:
        """How many ids were reasoning so far."""
        ...

    @property
    def calls(self) -> int:
        """How many calls there were so far."""
        ...

    @property
    def in_text(self) -> bool:
        """Whether the next ordinary token is one that the user reads."""
        ...

    def feed(self, ids: Sequence[int]) -> list[Event]: ...

    def finish(self) -> list[Event]: ...


@dataclass(frozen=True, slots=True)
class TurnOptions:
    """What a request says of how its turns are shown and ended.

    `stop`: strings that end the answer, and are not shown. `stop_ids`: ordinary tokens that end the
    generation, not shown either. `one_call`: the answer ends before a second call.
    """

    stop: Sequence[str] = ()
    stop_ids: frozenset[int] = frozenset()
    one_call: bool = False
    reasoning: bool = True
    logprobs: bool = False


class Ending(NamedTuple):
    """Why a turn is over.

    `stop_string` is the one that was found, if one was. `context_full`: the limit that was reached
    is the context's, not the request's `max_tokens`.
    """

    reason: Literal["stop", "length", "calls"]
    stop_string: str | None = None
    context_full: bool = False


@dataclass(slots=True)
class Usage:
    """The tokens of a turn. `cached` are those of the prompt that were in the prefix cache,
    `reasoning` those of the completion that were analysis."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0


def total(usages: Sequence[Usage], choices: int) -> Usage:
    """The tokens of a request's turns, `choices` of each prompt. A prompt counts once."""
    of_prompts = [usages[at : at + choices] for at in range(0, len(usages), choices)]
    return Usage(
        prompt=sum(max(usage.prompt for usage in turns) for turns in of_prompts),
        cached=sum(turns[0].cached for turns in of_prompts),
        completion=sum(usage.completion for usage in usages),
        reasoning=sum(usage.reasoning for usage in usages),
    )


class TextLogprob(NamedTuple):
    """A token's log probability, and where in the visible text it begins, in characters."""

    offset: int
    token: TokenLogprob


class Told(NamedTuple):
    """What a turn says after a step.

    `ending` is set with the last one. `ids` and `usage` are the turn's so far: a view, not a copy.
    """

    events: Sequence[Event]
    ids: Sequence[int]
    usage: Usage
    ending: Ending | None = None
    logprobs: Sequence[TextLogprob] = ()


class Turn:
    """`take` steps until `ending` is set; then nothing more comes of this turn.

    `ids` are those taken so far. `limited_by_context`: the context leaves less room than the
    request's `max_tokens`.
    """

    def __init__(
        self,
        reader: CompletionReader,
        options: TurnOptions,
        *,
        limited_by_context: bool = False,
    ) -> None:
        self._limited_by_context = limited_by_context
        self.usage = Usage()
        self.ending: Ending | None = None
        self.ids: list[int] = []
        self._reader = reader
        self._options = options
        self._search = _Search(options.stop) if options.stop else None
        self._in_reasoning = False
        self._told = _Messages()
        self._logprobs = _Logprobs()

    @property
    def recoveries(self) -> Counter[str]:
        """What had to be mended in the output, by kind."""
        return self._reader.recoveries

    @property
    def messages(self) -> list[Message]:
        """What was told so far, as the messages that a client may send back."""
        return self._told.messages()

    def take(self, step: Step) -> Told:
        """What this step adds to what can be told; `ending` is set with the last one."""
        self._count(step)
        step = _without_stop_token(step, self._options.stop_ids)
        self.ids += step.ids
        events = self._read(step)
        ended = step.finish_reason is not None
        if ended:
            events += self._reader.finish()
        self.usage.reasoning = self._reader.reasoning_tokens
        if self._options.one_call and (second := _second_call(events)) is not None:
            events, ended = events[:second], True
        if self._search is not None:
            events = self._search.take(events, last=ended)
        if self._search is not None and self._search.found is not None:
            self.ending = Ending("stop", self._search.found)
        elif ended:
            self.ending = self._ending(step)
        if not self._options.reasoning:
            events = self._without_reasoning(events)
        self._told.add(events)
        if not self._options.logprobs:
            return Told(events, self.ids, self.usage, self.ending)
        cut = self.ending is not None and self.ending.stop_string is not None
        logprobs = self._logprobs.shown(events, all_=self.ending is not None and not cut)
        return Told(events, self.ids, self.usage, self.ending, logprobs)

    def _count(self, step: Step) -> None:
        if step.completion_tokens:
            self.usage.prompt = step.prompt_tokens
            self.usage.cached = step.cached_tokens
            self.usage.completion = step.completion_tokens

    def _read(self, step: Step) -> list[Event]:
        """A step's events; token by token where it must be known which text a token is part of."""
        if not self._options.logprobs:
            return self._reader.feed(step.ids)
        events: list[Event] = []
        for token, entry in zip(step.ids, step.logprobs, strict=True):
            if self._reader.in_text and token < FIRST_SPECIAL:
                self._logprobs.add(entry)
            new = self._reader.feed([token])
            self._logprobs.move_on(new)
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
    """A step without the ordinary token of `stop_ids` that it stopped at; a marker is kept."""
    if step.finish_reason != "stop" or not step.ids:
        return step
    last = step.ids[-1]
    if last not in stop_ids or last >= FIRST_SPECIAL:
        return step
    return step._replace(ids=step.ids[:-1], logprobs=step.logprobs[:-1])


def _second_call(events: Sequence[Event]) -> int | None:
    """Where a second call's message begins among `events`, if one does."""
    for at, event in enumerate(events):
        if isinstance(event, ToolCallBegun) and event.index > 0:
            return at - 1  # its MessageBegun stands right before it
    return None


class _Search:
    """Lets events pass as far as the stop strings let their texts.

    The texts of adjacent messages are one to a reader, so a stop string may begin in a preamble and
    end in the answer. While a text's end is held back, its message's end waits behind it.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._stop = StopStrings(strings)
        self._waiting: deque[Event] = deque()

    @property
    def found(self) -> str | None:
        """The stop string that was found; nothing passes after it."""
        return self._stop.found

    def take(self, events: Iterable[Event], *, last: bool) -> list[Event]:
        """The events that may pass now; all that are left with the `last`, unless one is found."""
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
        """Those at the front, of whose texts so many characters can be shown."""
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
class _Logprobs:
    """Log probabilities on their way out, each with the text that its token begins."""

    read: int = 0  # characters of visible text
    sent: int = 0
    waiting: list[TextLogprob] = field(default_factory=list[TextLogprob])

    def add(self, entry: TokenLogprob) -> None:
        self.waiting.append(TextLogprob(self.read, entry))

    def move_on(self, events: Iterable[Event]) -> None:
        self.read += sum(len(event.text) for event in events if isinstance(event, Text))

    def shown(self, events: Iterable[Event], *, all_: bool) -> list[TextLogprob]:
        """Those whose text has begun to go out with `events`; `all_`: no text is held back."""
        self.sent += sum(len(event.text) for event in events if isinstance(event, Text))
        ready = [each for each in self.waiting if all_ or each.offset < self.sent]
        del self.waiting[: len(ready)]
        return ready


class _Messages:
    """Adds up events to the messages that they tell."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[ToolCallBegun] = []
        self._arguments: dict[int, list[str]] = {}

    def add(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case Text(text):
                    self._texts.append(text)
                case Reasoning(text):
                    self._thoughts.append(text)
                case ToolCallBegun(index):
                    self._calls.append(event)
                    self._arguments[index] = []
                case ToolCallArguments(index, text):
                    self._arguments[index].append(text)
                case _:
                    pass

    def messages(self) -> list[Message]:
        text, thought = "".join(self._texts), "".join(self._thoughts)
        calls = [
            Called(call.name, "".join(self._arguments[call.index]), call.id) for call in self._calls
        ]
        messages: list[Message] = [Thought(thought)] if thought else []
        if text:
            messages.append(Said(text, "commentary" if calls else "final"))
        return [*messages, *calls]

"""One request through all the hops: the only place where the engine and Harmony meet.

There is one way for every API, streamed or not. `read` checks all that can be checked without the
engine; the `Exchange` that it returns yields what is ready, a batch of the API's objects: those of
a streamed answer as they are made, or one object, which is the fold of the same.
"""

import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from worker.api import models
from worker.api.dialect import (
    Answer,
    Asked,
    Call,
    Dialect,
    Fold,
    Generate,
    Head,
    Json,
    LookUp,
    Object,
    Refuse,
    Request,
)
from worker.api.routes import RouteMatch
from worker.engine import Engine
from worker.errors import BadRequest, ContextLengthExceeded, WorkerError
from worker.generation import Sampling, Step
from worker.harmony import Parser, TurnMemory, render, structural_tag
from worker.harmony.capsule import Capsules
from worker.harmony.conversation import Conversation
from worker.job_metrics import JobMetrics
from worker.merge import merge
from worker.model import Model
from worker.raw_text import RawText
from worker.settings import Settings
from worker.turn import Turn, Usage, total

Batch = Sequence[Object]
"""Objects that are ready at the same time: whoever delivers them can send them together."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that was read and checked, and its answer.

    `answer` yields the batches, noting figures in its argument. It raises WorkerError while it is
    iterated; closing it aborts what is generated. `failed` are the objects that end a stream with
    such an error, `keep_alive` those that keep a silent one open.
    """

    dialect: Dialect
    streams: bool
    answer: Callable[[JobMetrics], AsyncGenerator[Batch]]
    failed: Callable[[WorkerError], Sequence[Object]]
    keep_alive: Callable[[], Sequence[Object]]


@dataclass(frozen=True, slots=True)
class _Generation:
    """One turn to be generated: `rid` names it to the engine."""

    rid: str
    prompt: Sequence[int]
    sampling: Sampling
    turn: Turn


class Service:
    """Answers requests of any API with one engine and one model. It is the dialects' `Host`."""

    def __init__(self, engine: Engine, model: Model, settings: Settings) -> None:
        self.engine = engine
        self.model = model
        self.created = int(time.time())
        self.capsules = Capsules(
            [key.get_secret_value() for key in settings.state_keys],
            max_tokens=model.context_length,
        )
        self._settings = settings
        self._memory = TurnMemory(settings.reasoning_memory_mb * 2**20)

    @property
    def models(self) -> Sequence[str]:
        """The names that the model is served under, the default first."""
        return self.model.names

    @property
    def context_length(self) -> int:
        """In tokens."""
        return self.model.context_length

    def count(self, conversation: Conversation) -> int:
        """How many tokens the prompt of a conversation has. Raises BadRequest."""
        return len(self._render(conversation))

    async def read(self, route: RouteMatch, body: Json, owner: str = "") -> Exchange:
        """The request `body` to `route`, from the client that `owner` names. Raises WorkerError,
        which is a BadRequest where the request is at fault."""
        call = Call(body, route.params, owner)
        match route.action:
            case Generate(read):
                return self._generating(route.dialect, await read(call, self))
            case LookUp(find):
                return _looking_up(route.dialect, lambda: find(call, self))
            case Refuse(error):
                raise error()

    def _generating(self, dialect: Dialect, request: Request) -> Exchange:
        asked = request.asked()
        name = models.check(asked.model, self.models)
        rid = uuid.uuid4().hex
        generations = self._generations(asked, rid)
        answer = request.answer(Head(rid, name, int(time.time())))

        def batches(metrics: JobMetrics) -> AsyncGenerator[Batch]:
            made = self._batches(generations, asked.choices, answer, metrics)
            return made if asked.streams else _folded(made, request.fold())

        return Exchange(dialect, asked.streams, batches, answer.failed, answer.keep_alive)

    def _generations(self, asked: Asked, rid: str) -> list[_Generation]:
        """What is asked, `choices` turns for each prompt."""
        made: list[_Generation] = []
        for prompt in asked.prompts:
            ids, grammar = self._rendered(prompt, asked.sampling)
            room = self._room(ids, asked.prompt_field)
            for choice in range(asked.choices):
                sampling = asked.sampling.within(room, choice, grammar)
                turn = Turn(
                    _reader(prompt),
                    asked.options,
                    limited_by_context=room < asked.sampling.max_tokens,
                )
                made.append(_Generation(f"{rid}-{len(made)}", ids, sampling, turn))
        return made

    def _rendered(
        self, prompt: Conversation | Sequence[int], sampling: Sampling
    ) -> tuple[Sequence[int], str | None]:
        """A prompt's ids, and the grammar that its completion must follow."""
        if not isinstance(prompt, Conversation):
            return prompt, None
        free = _unending(sampling)
        headers = self._settings.header_grammar and free is None
        grammar = structural_tag(prompt.wanted, headers=headers)
        if grammar is not None and free is not None:
            raise BadRequest(f"{free} cannot be combined with constrained output.", param=free)
        return self._render(prompt), grammar

    def _render(self, conversation: Conversation) -> Sequence[int]:
        return render(
            conversation,
            effort=self._settings.reasoning_effort,
            date=self._settings.system_date,
            memory=self._memory,
        )

    def _room(self, prompt: Sequence[int], field: str) -> int:
        """How many tokens of the context a prompt leaves. Raises ContextLengthExceeded."""
        longest = self.model.context_length
        room = longest - len(prompt) - 1  # SGLang keeps one place for itself
        if room < 1:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {longest} tokens. However, your "
                f"{field} resulted in {len(prompt)} tokens: the prompt is too long. "
                f"Please shorten the {field}.",
                param=field,
            )
        return room

    async def _batches(
        self,
        generations: Sequence[_Generation],
        choices: int,
        answer: Answer,
        metrics: JobMetrics,
    ) -> AsyncGenerator[Batch]:
        """Generates all turns side by side, and words what they tell."""
        turns = [generation.turn for generation in generations]
        steps = [self.engine.generate(g.prompt, g.sampling, g.rid) for g in generations]
        try:
            async with aclosing(merge(steps)) as ready:
                async for taken in ready:
                    metrics.note_step()
                    batch = [
                        item
                        for index, step in taken
                        for item in self._take(generations[index], index, step, answer)
                    ]
                    if all(turn.ending is not None for turn in turns):
                        yield [*batch, *await answer.close(_usage(turns, choices))]
                        return
                    if batch:
                        yield batch
        finally:
            metrics.note_usage(_usage(turns, choices))
            metrics.note_recoveries(_recoveries(turns))

    def _take(
        self, generation: _Generation, index: int, step: Step, answer: Answer
    ) -> Sequence[Object]:
        """The objects of one turn's step; what it ends is ended in the engine and remembered."""
        turn = generation.turn
        if turn.ending is not None:
            return ()
        told = turn.take(step)
        if turn.ending is not None:
            if turn.ending.reason == "calls":
                self._memory.remember(turn.messages, turn.ids)  # before the calls are answered
            if step.finish_reason is None:  # a stop string was found, or a second call
                self.engine.abort(generation.rid)
        return answer.take(index, told)


def _reader(prompt: Conversation | Sequence[int]) -> Parser | RawText:
    return Parser(prompt.wanted.tools) if isinstance(prompt, Conversation) else RawText()


def _unending(sampling: Sampling) -> str | None:
    """The field, if there is one, that no grammar goes with.

    Once a grammar is complete it admits the stop tokens alone, which these keep from ending.
    """
    if sampling.min_tokens:
        return "min_tokens"
    return "ignore_eos" if sampling.ignore_eos else None


def _usage(turns: Sequence[Turn], choices: int) -> Usage:
    return total([turn.usage for turn in turns], choices)


def _recoveries(turns: Sequence[Turn]) -> Mapping[str, int]:
    return sum((turn.recoveries for turn in turns), Counter[str]())


def _looking_up(dialect: Dialect, find: Callable[[], Awaitable[Object]]) -> Exchange:
    async def batches(_metrics: JobMetrics) -> AsyncGenerator[Batch]:
        yield [await find()]

    return Exchange(
        dialect,
        streams=False,
        answer=batches,
        failed=lambda error: [dialect.error(error)],
        keep_alive=list[Object],
    )


async def _folded(batches: AsyncGenerator[Batch], fold: Fold) -> AsyncGenerator[Batch]:
    """The one object that a streamed answer adds up to."""
    async with aclosing(batches):
        async for batch in batches:
            for item in batch:
                fold.add(item)
    yield [fold.whole()]

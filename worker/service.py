"""Runs one request end to end. Only this module connects an engine with Harmony's renderer and
parser.

All APIs, streamed or not, take the same path. `read` validates the request as far as possible
without the engine. The `Exchange` that it returns yields batches of the API's objects: chunks as
they are generated if the answer is streamed, otherwise one object, folded from the same chunks.
"""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from worker.api import models
from worker.api.dialect import (
    Answer,
    Asked,
    Dialect,
    Fold,
    Generate,
    Head,
    Json,
    LookUp,
    Object,
    RawRequest,
    Refuse,
    Request,
)
from worker.api.routes import RouteMatch
from worker.engine import Engine, MeasurableEngine
from worker.engine.port import WarmUpRequest
from worker.errors import BadRequest, ContextLengthExceeded, WorkerError
from worker.generation import Sampling, Step
from worker.harmony import Parser, TurnMemory, encoded_text, grammar_of, new_call_id, segments
from worker.harmony.call_ids import CallIds
from worker.harmony.capsule import Capsules
from worker.harmony.conversation import Conversation, Tool, User, Wanted
from worker.harmony.encoded_text import Segment, join
from worker.job_metrics import JobMetrics
from worker.merge import merge
from worker.model import Model
from worker.raw_text import RawText
from worker.response_store import response_store
from worker.settings import Settings
from worker.turn import Turn, Usage, total

Batch = Sequence[Object]
"""Objects that are ready at the same time and can be sent together."""


class LastBatch(list[Object]):
    """The batch that ends an answer, so that a stream's end can be sent with it."""


MANY_CHARACTERS = 8192
"""Prompts with more new text than this are encoded in a thread; encoding this much takes some two
milliseconds."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A validated request and its answer.

    `answer` returns an async generator of batches and records metrics in its argument. Iterating it
    can raise WorkerError; closing it aborts the generation. `failed` returns the objects that end a
    stream after such an error, `keep_alive` those that keep an idle stream open.
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
        self.context_length = model.context_length
        """In tokens. The boot lowers it to what the KV cache holds."""
        self._capsules = Capsules(
            [key.get_secret_value() for key in settings.state_keys],
            max_tokens=model.context_length,
        )
        self.responses = response_store(settings)
        self._settings = settings
        self._memory = TurnMemory(settings.reasoning_memory_mb * 2**20)
        self._boot_phases: dict[str, float] = {}
        self._is_boot_reported = False

    @property
    def models(self) -> Sequence[str]:
        """The names that the model is served under, the default first."""
        return self.model.names

    def note_boot_phase(self, phase: str, seconds: float) -> None:
        """Records how long a phase took before the engine started."""
        self._boot_phases[phase] = seconds

    def boot_seconds(self) -> Mapping[str, float]:
        """The duration of each phase of the boot, in order."""
        engine = self.engine
        return self._boot_phases | (
            dict(engine.boot_seconds()) if isinstance(engine, MeasurableEngine) else {}
        )

    def warm_up_requests(self) -> list[WarmUpRequest]:
        """Two requests in the forms that agents send, each with one prefill and one decoding step:
        greedy, short and free; sampled, longer than a page of the KV cache, with a tool's grammar.
        """
        tool = Tool("warm_up", "Does nothing.", {"type": "object", "properties": {}})
        made: list[WarmUpRequest] = []
        for text, temperature, tools in (("Hi", 0.0, ()), ("Warm up. " * 100, 1.0, (tool,))):
            conversation = Conversation((User(text),), Wanted(tools))
            sampling = Sampling(max_tokens=2, temperature=temperature)
            prompt, constrained = self._rendered(conversation, sampling, Counter())
            ids = join(prompt)
            made.append((ids, constrained.within(self._room(ids, "warm-up"), 0)))
        return made

    @property
    def capsules(self) -> Capsules:
        """Capsules scoped to one request."""
        return self._capsules.for_one_request()

    @property
    def _call_ids(self) -> CallIds:
        return CallIds(self.capsules, self._settings.reasoning_in_call_ids or 0)

    async def count(self, conversation: Conversation) -> int:
        """The number of tokens in a conversation's prompt. Raises BadRequest."""
        return len(await _encoded(self._render(conversation)))

    async def read(self, route: RouteMatch, body: Json, owner: str = "") -> Exchange:
        """Validates `body` as a request to `route` from the client `owner`. Raises WorkerError
        (BadRequest if the request is invalid)."""
        raw = RawRequest(body, route.params, owner)
        match route.action:
            case Generate(read):
                return await self._generating(route.dialect, await read(raw, self))
            case LookUp(find):
                return _looking_up(route.dialect, lambda: find(raw, self))
            case Refuse(error):
                raise error()

    async def _generating(self, dialect: Dialect, request: Request) -> Exchange:
        asked = request.asked()
        name = models.check(asked.model, self.models)
        rid = uuid.uuid4().hex
        reasoning: Counter[str] = Counter()
        generations = await self._generations(asked, rid, reasoning)
        answer = request.answer(Head(rid, name, int(time.time())))
        choices, fold = asked.choices, None if asked.streams else request.fold()

        # Holds neither `request` nor `asked`, in which the whole history is.
        def batches(metrics: JobMetrics) -> AsyncGenerator[Batch]:
            metrics.note_reasoning(reasoning)
            self._report_boot(metrics)
            made = self._batches(generations, choices, answer, metrics)
            return made if fold is None else _folded(made, fold)

        return Exchange(dialect, asked.streams, batches, answer.failed, answer.keep_alive)

    def _report_boot(self, metrics: JobMetrics) -> None:
        """The first job says how long the boot before it took."""
        if not self._is_boot_reported:
            self._is_boot_reported = True
            metrics.note_boot(self.boot_seconds())

    async def _generations(
        self, asked: Asked, rid: str, reasoning: Counter[str]
    ) -> list[_Generation]:
        """The turns to generate: `choices` for each prompt. Counts in `reasoning` where that of the
        history came from."""
        carries = self._settings.reasoning_in_call_ids is not None
        made: list[_Generation] = []
        for prompt in asked.prompts:
            rendered, constrained = self._rendered(prompt, asked.sampling, reasoning)
            ids = await _encoded(rendered)
            room = self._room(ids, asked.prompt_field)
            for choice in range(asked.choices):
                sampling = constrained.within(room, choice)
                turn = Turn(
                    _reader(prompt, asked.call_prefix),
                    asked.options,
                    limited_by_context=room < asked.sampling.max_tokens,
                    with_reasoning=self._call_ids.with_reasoning if carries else None,
                )
                made.append(_Generation(f"{rid}-{len(made)}", ids, sampling, turn))
        return made

    def _rendered(
        self, prompt: Conversation | Sequence[Segment], sampling: Sampling, reasoning: Counter[str]
    ) -> tuple[Sequence[Segment], Sampling]:
        """A prompt, and `sampling` constrained by the grammar of its completion, if it has one."""
        if not isinstance(prompt, Conversation):
            return prompt, sampling
        free = _unending(sampling)
        headers = self._settings.header_grammar and free is None
        grammar = grammar_of(prompt.wanted, headers=headers)
        if grammar is not None:
            if free is not None:
                raise BadRequest(f"{free} cannot be combined with constrained output.", param=free)
            tag, headers_only = grammar
            sampling = replace(sampling, structural_tag=tag, headers_only=headers_only)
        return self._render(prompt, reasoning), sampling

    def _render(
        self, conversation: Conversation, reasoning: Counter[str] | None = None
    ) -> Sequence[Segment]:
        messages = self._call_ids.restored(conversation.messages)
        return segments(
            replace(conversation, messages=messages),
            effort=self._settings.reasoning_effort,
            date=self._settings.system_date,
            memory=self._memory,
            reasoning=reasoning,
        )

    def _room(self, prompt: Sequence[int], field: str) -> int:
        """How many tokens of the context a prompt leaves. Raises ContextLengthExceeded."""
        longest = self.context_length
        room = longest - len(prompt) - 1  # SGLang reserves one position
        if room < 1:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {longest} tokens. However, your "
                f"{field} resulted in {len(prompt)} tokens: the prompt is too long. "
                f"Please shorten the {field}.",
                param=field,
                tokens=len(prompt),
                limit=longest,
            )
        return room

    async def _batches(
        self,
        generations: Sequence[_Generation],
        choices: int,
        answer: Answer,
        metrics: JobMetrics,
    ) -> AsyncGenerator[Batch]:
        """Generates all turns concurrently and converts their output to the API's objects."""
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
                        yield LastBatch([*batch, *await answer.close(_usage(turns, choices))])
                        return
                    if batch:
                        yield batch
        finally:
            metrics.note_usage(_usage(turns, choices))
            metrics.note_endings(turn.ending for turn in turns if turn.ending is not None)
            metrics.note_recoveries(_recoveries(turns))

    def _take(
        self, generation: _Generation, index: int, step: Step, answer: Answer
    ) -> Sequence[Object]:
        """The objects for one step of a turn. When the turn ends, stores it in memory if it made
        calls, and aborts the generation if the engine has not finished it."""
        turn = generation.turn
        if turn.ending is not None:
            return ()
        output = turn.take(step)
        if turn.ending is not None:
            if turn.ending.reason == "calls":
                # Before the client gets the calls, and can answer them.
                self._memory.remember(turn.messages, turn.ids.slice())
            if step.finish_reason is None:  # a stop string was found, or a second call
                self.engine.abort(generation.rid)
        return answer.take(index, output)


async def _encoded(prompt: Sequence[Segment]) -> Sequence[int]:
    """A prompt's token IDs. Much new text is encoded in a thread, so that no stream has to wait."""
    prompt = encoded_text.recalled(prompt)
    new = sum(len(segment) for segment in prompt if isinstance(segment, str))
    return await asyncio.to_thread(join, prompt) if new > MANY_CHARACTERS else join(prompt)


def _reader(prompt: Conversation | Sequence[Segment], call_prefix: str) -> Parser | RawText:
    if not isinstance(prompt, Conversation):
        return RawText()
    return Parser(prompt.wanted.tools, call_id=lambda: new_call_id(call_prefix))


def _unending(sampling: Sampling) -> str | None:
    """The requested field that cannot be combined with a grammar, if any.

    A completed grammar allows only stop tokens, and these fields suppress stop tokens.
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
        yield LastBatch([await find()])

    return Exchange(
        dialect,
        streams=False,
        answer=batches,
        failed=lambda error: [dialect.error(error)],
        keep_alive=list[Object],
    )


async def _folded(batches: AsyncGenerator[Batch], fold: Fold) -> AsyncGenerator[Batch]:
    """Folds a streamed answer into one object."""
    async with aclosing(batches):
        async for batch in batches:
            for item in batch:
                fold.add(item)
    yield LastBatch([fold.whole()])

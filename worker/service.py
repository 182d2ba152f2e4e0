"""One request through all the hops: the only place where the engine and Harmony meet.

Rule: one way for streaming and not. `answer` yields what is ready, a batch of OpenAI objects: the
chunks of a streamed answer as they are made, or one object, which is the fold of the same chunks.
"""

import logging
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import chain
from typing import Any

from worker.api import models
from worker.api.chat import ChatRequest
from worker.api.chat_answer import ChatAnswer, ChatFold
from worker.api.completion_answer import CompletionAnswer, CompletionFold
from worker.api.completions import CompletionRequest
from worker.api.fields import read
from worker.engine import Engine
from worker.errors import BadRequest, ContextLengthExceeded, NotFound
from worker.generation import Sampling, Step
from worker.harmony import TurnMemory, render_prompt, structural_tag
from worker.merge import merged
from worker.metrics import JobMetrics
from worker.models import Model
from worker.settings import Settings

log = logging.getLogger(__name__)

Json = Any  # A JSON value from outside.
Object = dict[str, Any]
Batch = Sequence[Object]
"""Objects that are ready at the same time: whoever delivers them can send them together."""


class Service:
    """Answers OpenAI requests with one engine and one model."""

    def __init__(self, engine: Engine, model: Model, settings: Settings) -> None:
        self.engine = engine
        self.model = model
        self._settings = settings
        self._created = int(time.time())
        self._memory = TurnMemory(settings.reasoning_memory_mb * 2**20)

    def answer(self, route: str, body: Json, metrics: JobMetrics) -> AsyncGenerator[Batch]:
        """The objects that answer `body` at `route` (`/v1/…`), noting figures in `metrics`.

        Raises WorkerError, here or while it is iterated; closing it aborts what is generated.
        """
        match _parts(route):
            case ["v1", "chat", "completions"]:
                return self._chat(body, metrics)
            case ["v1", "completions"]:
                return self._completion(body, metrics)
            case ["v1", "models"]:
                data = [self._model_object(name) for name in self.model.names]
                return _one({"object": "list", "data": data})
            case ["v1", "models", *name] if name:
                return _one(self._model_object(models.check("/".join(name), self.model.names)))
            case ["v1", "responses"]:
                raise NotFound("/v1/responses is not supported yet.", code="unknown_url")
            case _:
                raise NotFound(f"Unknown route: {route[:200]!r}.", code="unknown_url")

    def check(self, route: str, body: Json) -> None:
        """Raises what `answer` would raise before it needs the engine."""
        match _parts(route):
            case ["v1", "chat", "completions"]:
                self._read_chat(body)
            case ["v1", "completions"]:
                self._read_completion(body)
            case _:
                pass

    def _model_object(self, name: str) -> Object:
        length = self.model.context_length
        return models.model_object(name, created=self._created, max_model_len=length)

    def _read_chat(self, body: Json) -> tuple[ChatRequest, str, list[int], str | None]:
        """The request, the model's name that it asks for, its prompt and its grammar."""
        request = read(ChatRequest, body)
        name = models.check(request.model, self.model.names)
        settings = self._settings
        headers = settings.header_grammar and request.freedom is None
        grammar = structural_tag(request.asked, headers=headers)
        if grammar is not None and (field := request.freedom):
            raise BadRequest(f"{field} does not go with what a grammar holds.", param=field)
        prompt = render_prompt(
            request.asked,
            effort=settings.reasoning_effort,
            date=settings.system_date,
            memory=self._memory,
        )
        self._room(prompt, "messages")
        return request, name, prompt, grammar

    def _room(self, prompt: Sequence[int], param: str) -> int:
        """How many tokens of the context a prompt leaves. Raises ContextLengthExceeded."""
        longest = self.model.context_length
        room = longest - len(prompt) - 1  # SGLang keeps one place for itself
        if room < 1:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {longest} tokens. However, your "
                f"{param} resulted in {len(prompt)} tokens: the prompt is too long. "
                f"Please shorten the {param}.",
                param=param,
            )
        return room

    def _chat(self, body: Json, metrics: JobMetrics) -> AsyncGenerator[Batch]:
        request, name, prompt, grammar = self._read_chat(body)
        rid = uuid.uuid4().hex
        answer = ChatAnswer(request, id=f"chatcmpl-{rid}", model=name, created=int(time.time()))
        room = self._room(prompt, "messages")
        asked = [(prompt, request.sampling(room, c, grammar)) for c in range(request.choices)]
        chunks = self._chunks(asked, rid, answer, metrics)
        return chunks if request.stream else _folded(chunks, ChatFold())

    def _read_completion(self, body: Json) -> tuple[CompletionRequest, str, list[list[int]]]:
        """The request, the model's name that it asks for, and its prompts."""
        request = read(CompletionRequest, body)
        name = models.check(request.model, self.model.names)
        prompts = request.prompts()
        for prompt in prompts:
            self._room(prompt, "prompt")
        return request, name, prompts

    def _completion(self, body: Json, metrics: JobMetrics) -> AsyncGenerator[Batch]:
        request, name, prompts = self._read_completion(body)
        rid = uuid.uuid4().hex
        created = int(time.time())
        answer = CompletionAnswer(request, prompts, id=f"cmpl-{rid}", model=name, created=created)
        asked = [
            (prompt, request.sampling(self._room(prompt, "prompt"), choice))
            for prompt in prompts
            for choice in range(request.choices)
        ]
        chunks = self._chunks(asked, rid, answer, metrics)
        return chunks if request.stream else _folded(chunks, CompletionFold())

    async def _chunks(
        self,
        asked: Sequence[tuple[Sequence[int], Sampling]],
        rid: str,
        answer: ChatAnswer | CompletionAnswer,
        metrics: JobMetrics,
    ) -> AsyncGenerator[Batch]:
        """Generates what is asked, one choice for each prompt and sampling."""
        generations = [
            self.engine.generate(prompt, sampling, _choice_rid(rid, index))
            for index, (prompt, sampling) in enumerate(asked)
        ]
        try:
            async with aclosing(merged(generations)) as ready:
                async for steps in ready:
                    metrics.note_step()
                    taken = [self._take(answer, rid, index, step) for index, step in steps]
                    batch = list(chain.from_iterable(taken))
                    if answer.done:
                        yield [*batch, *answer.close()]
                        return
                    if batch:
                        yield batch
        finally:
            metrics.note_usage(answer.usage())
            metrics.note_recoveries(answer.recoveries())

    def _take(
        self, answer: ChatAnswer | CompletionAnswer, rid: str, index: int, step: Step
    ) -> list[Object]:
        """The chunks of one choice's step; what it ends is ended in the engine and remembered."""
        chunks = answer.take(index, step)
        if answer.finished(index):
            if isinstance(answer, ChatAnswer) and (turn := answer.turn_with_calls(index)):
                self._memory.remember(*turn)  # before the client can answer the calls
            if step.finish_reason is None:  # a stop string was found
                self.engine.abort(_choice_rid(rid, index))
        return chunks


def _choice_rid(rid: str, index: int) -> str:
    return f"{rid}-{index}"


def _parts(route: str) -> list[str]:
    return [p for p in route.partition("?")[0].removeprefix("/openai").split("/") if p]


async def _one(item: Object) -> AsyncGenerator[Batch]:
    yield [item]


async def _folded(
    batches: AsyncGenerator[Batch], fold: ChatFold | CompletionFold
) -> AsyncGenerator[Batch]:
    """The one object that the chunks add up to."""
    async with aclosing(batches):
        async for batch in batches:
            for chunk in batch:
                fold.add(chunk)
    yield [fold.completion()]

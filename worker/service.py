"""One request through all the hops: the only place where the engine and Harmony meet.

Rule: one way for streaming and not. `answer` yields OpenAI objects: the chunks of a streamed
answer as they are made, or one object, which is the fold of the same chunks.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from worker.api import models
from worker.api.chat import ChatRequest
from worker.api.chat_answer import ChatAnswer, ChatFold
from worker.api.fields import read
from worker.engine import Engine
from worker.errors import ContextLengthExceeded, NotFound
from worker.generation import Sampling, Step
from worker.harmony import TurnMemory, render_prompt, structural_tag
from worker.metrics import JobMetrics
from worker.models import Model
from worker.settings import Settings

log = logging.getLogger(__name__)

Json = Any  # A JSON value from outside.
Object = dict[str, Any]


class Service:
    """Answers OpenAI requests with one engine and one model."""

    def __init__(self, engine: Engine, model: Model, settings: Settings) -> None:
        self.engine = engine
        self.model = model
        self._settings = settings
        self._created = int(time.time())
        self._memory = TurnMemory(settings.reasoning_memory_mb * 2**20)

    def answer(self, route: str, body: Json, metrics: JobMetrics) -> AsyncGenerator[Object]:
        """The objects that answer `body` at `route` (`/v1/…`), noting figures in `metrics`.

        Raises WorkerError, here or while it is iterated; closing it aborts what is generated.
        """
        match _parts(route):
            case ["v1", "chat", "completions"]:
                return self._chat(body, metrics)
            case ["v1", "models"]:
                data = [self._model_object(name) for name in self.model.names]
                return _one({"object": "list", "data": data})
            case ["v1", "models", *name] if name:
                return _one(self._model_object(models.check("/".join(name), self.model.names)))
            case ["v1", "responses" | "completions" as later]:
                raise NotFound(f"/v1/{later} is not supported yet.", code="unknown_url")
            case _:
                raise NotFound(f"Unknown route: {route[:200]!r}.", code="unknown_url")

    def check(self, route: str, body: Json) -> None:
        """Raises what `answer` would raise before it needs the engine."""
        if _parts(route) == ["v1", "chat", "completions"]:
            self._read_chat(body)

    def _model_object(self, name: str) -> Object:
        length = self.model.context_length
        return models.model_object(name, created=self._created, max_model_len=length)

    def _read_chat(self, body: Json) -> tuple[ChatRequest, str, list[int], str | None]:
        """The request, the model's name that it asks for, its prompt and its grammar."""
        request = read(ChatRequest, body)
        name = models.check(request.model, self.model.names)
        grammar = structural_tag(body)
        settings = self._settings
        prompt = render_prompt(
            body,
            effort=settings.reasoning_effort,
            date=settings.system_date,
            memory=self._memory,
        )
        longest = self.model.context_length
        if len(prompt) + 1 >= longest:  # SGLang keeps one place for itself
            raise ContextLengthExceeded(
                f"This model's maximum context length is {longest} tokens. However, your "
                f"messages resulted in {len(prompt)} tokens. Please shorten them.",
                param="messages",
            )
        return request, name, prompt, grammar

    def _chat(self, body: Json, metrics: JobMetrics) -> AsyncGenerator[Object]:
        request, name, prompt, grammar = self._read_chat(body)
        rid = uuid.uuid4().hex
        answer = ChatAnswer(request, id=f"chatcmpl-{rid}", model=name, created=int(time.time()))
        room = self.model.context_length - len(prompt) - 1
        samplings = [request.sampling(room, c, grammar) for c in range(request.choices)]
        chunks = self._chat_chunks(prompt, samplings, rid, answer, metrics)
        return chunks if request.stream else _folded(chunks)

    async def _chat_chunks(
        self,
        prompt: Sequence[int],
        samplings: Sequence[Sampling],
        rid: str,
        answer: ChatAnswer,
        metrics: JobMetrics,
    ) -> AsyncGenerator[Object]:
        generations = [
            self.engine.generate(prompt, sampling, _choice_rid(rid, index))
            for index, sampling in enumerate(samplings)
        ]
        async with aclosing(_merged(generations)) as steps:
            async for index, step in steps:
                metrics.note_step()
                chunks = answer.take(index, step)
                if answer.finished(index) and (turn := answer.turn_with_calls(index)):
                    self._memory.remember(*turn)  # before the client can answer the calls
                for chunk in chunks:
                    yield chunk
                if answer.finished(index):
                    if answer.done:
                        break
                    if step.finish_reason is None:  # a stop string was found
                        self.engine.abort(_choice_rid(rid, index))
        metrics.note_usage(answer.usage())
        for chunk in answer.close():
            yield chunk


def _choice_rid(rid: str, index: int) -> str:
    return f"{rid}-{index}"


def _parts(route: str) -> list[str]:
    return [p for p in route.partition("?")[0].removeprefix("/openai").split("/") if p]


async def _one(item: Object) -> AsyncGenerator[Object]:
    yield item


async def _folded(chunks: AsyncGenerator[Object]) -> AsyncGenerator[Object]:
    """The one object that the chunks add up to."""
    fold = ChatFold()
    async with aclosing(chunks):
        async for chunk in chunks:
            fold.add(chunk)
    yield fold.completion()


async def _merged(
    generations: Sequence[AsyncGenerator[Step]],
) -> AsyncGenerator[tuple[int, Step]]:
    """The items of several generators as they come, each with its generator's index."""
    if len(generations) == 1:
        async with aclosing(generations[0]) as steps:
            async for step in steps:
                yield 0, step
        return
    waiting: dict[asyncio.Task[Step | None], int] = {}
    try:
        for index, generation in enumerate(generations):
            waiting[asyncio.create_task(_next(generation))] = index
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                index = waiting.pop(task)
                if (step := task.result()) is None:
                    continue
                waiting[asyncio.create_task(_next(generations[index]))] = index
                yield index, step
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for generation in generations:
            await generation.aclose()


async def _next(steps: AsyncGenerator[Step]) -> Step | None:
    return await anext(steps, None)

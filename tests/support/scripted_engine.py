"""An engine with scripted output: a small class that implements the engine's contract.

For tests of everything above the engine, which need specific tokens, not a model.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from worker.engine import Health, Sampling, Step
from worker.errors import BadRequest, EngineDead
from worker.generation import FinishReason, TokenLogprob
from worker.harmony.vocabulary import encoding


def tokens(harmony: str) -> list[int]:
    """The token ids of Harmony text; markers become special tokens."""
    return encoding().encode(harmony, allowed_special="all")


def steps(ids: Sequence[int], sizes: Sequence[int], reason: FinishReason = "stop") -> list[Step]:
    """`ids` as steps of these sizes, repeated; the last one has `reason`. No ids are one step."""
    made: list[Step] = []
    done = 0
    while done < len(ids):
        piece = list(ids[done : done + sizes[len(made) % len(sizes)]])
        done += len(piece)
        logprobs = [TokenLogprob(i, -0.25, [(i, -0.25), (0, -2.0)]) for i in piece]
        made.append(Step(piece, reason if done == len(ids) else None, 50, 40, done, logprobs))
    return made or [Step([], reason, 50, 40, 1)]


class ScriptedEngine:
    """Generates `script`, `per_step` ids at a time; records prompts, samplings and aborts."""

    def __init__(
        self, script: Sequence[int], *, per_step: int = 1, context_length: int = 131072
    ) -> None:
        self.script = list(script)
        self.prompts: list[list[int]] = []
        self.samplings: list[Sampling] = []
        self.running: dict[str, asyncio.Event] = {}
        self.aborted: list[str] = []
        self._per_step = per_step
        self._context_length = context_length
        self._health = Health.STARTING

    async def start(self) -> None:
        self._health = Health.READY

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        if self._health is Health.DEAD:
            raise EngineDead
        if len(prompt_ids) >= self._context_length:
            raise BadRequest("The prompt is longer than the context.")
        self.prompts.append(list(prompt_ids))
        self.samplings.append(sampling)
        ended = self.running[rid] = asyncio.Event()
        try:
            async for step in self._steps(prompt_ids, sampling, ended):
                yield step
        finally:
            if self.running.pop(rid, None) and not ended.is_set():
                self.aborted.append(rid)

    async def _steps(
        self, prompt_ids: Sequence[int], sampling: Sampling, ended: asyncio.Event
    ) -> AsyncGenerator[Step]:
        script = self.script[: sampling.max_tokens]
        for at in range(0, len(script), self._per_step):
            await asyncio.sleep(0)
            if ended.is_set():
                yield Step((), "abort")
                return
            ids = script[at : at + self._per_step]
            done = at + len(ids)
            stopped = bool(ids) and ids[-1] in sampling.stop_ids
            last = done >= len(script)
            reason = "stop" if stopped else "length" if done >= sampling.max_tokens else None
            if last:
                reason = reason or "stop"
                ended.set()
            logprobs = [TokenLogprob(i, -0.5, [(i, -0.5)]) for i in ids]
            shown = logprobs if sampling.top_logprobs is not None else ()
            yield Step(ids, reason, len(prompt_ids), len(prompt_ids) // 2, done, shown)
            if last:
                return

    def abort(self, rid: str) -> None:
        if (ended := self.running.get(rid)) is not None:
            self.aborted.append(rid)
            ended.set()

    def health(self) -> Health:
        return self._health

    async def close(self) -> None:
        self._health = Health.DEAD
        for ended in self.running.values():
            ended.set()

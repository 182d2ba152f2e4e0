"""Merges concurrent generations into one stream of whatever steps are ready.

Rule: at most one step per generation is buffered ahead of the consumer. Closing the merged stream
closes all of them.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from worker.generation import Step


async def merge(
    generations: Sequence[AsyncGenerator[Step]],
) -> AsyncGenerator[list[tuple[int, Step]]]:
    """Yields the steps that are ready, each with the index of its generator."""
    if len(generations) == 1:
        async with aclosing(generations[0]) as steps:
            async for step in steps:
                yield [(0, step)]
        return
    waiting: dict[asyncio.Task[Step | None], int] = {}
    try:
        for index, generation in enumerate(generations):
            waiting[asyncio.create_task(_next(generation))] = index
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            ready: list[tuple[int, Step]] = []
            for task in done:
                index = waiting.pop(task)
                if (step := task.result()) is not None:
                    waiting[asyncio.create_task(_next(generations[index]))] = index
                    ready.append((index, step))
            if ready:
                yield ready
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for generation in generations:
            await generation.aclose()


async def _next(steps: AsyncGenerator[Step]) -> Step | None:
    return await anext(steps, None)

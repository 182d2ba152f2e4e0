"""RunPod's queue: jobs taken, answered and reported by RunPod's SDK, one handler for all.

Rule: the handler is an async generator function, and the engine is booted before the SDK's loop
takes its first job; everything that it awaits belongs to that loop.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

import runpod.serverless

from worker.entrypoints.job import Output, outputs
from worker.metrics import JobMetrics
from worker.service import Service

log = logging.getLogger(__name__)

Handler = Callable[[Mapping[str, Any]], AsyncGenerator[Output]]


def handler_of(service: Service) -> Handler:
    """The SDK's handler: a job in, its outputs out."""

    async def handler(job: Mapping[str, Any]) -> AsyncGenerator[Output]:
        metrics = JobMetrics()
        async with aclosing(outputs(service, job.get("input"), metrics)) as items:
            async for item in items:
                yield item
        log.info("job %s: %s", job.get("id"), metrics.to_object())

    return handler


def run(service: Service, concurrency: int) -> None:
    """Boots the engine and serves jobs until the SDK ends. `concurrency` must stay constant:
    the SDK applies a change only when no job runs, and takes none until then."""
    asyncio.run(service.engine.start())
    runpod.serverless.start(
        {
            "handler": handler_of(service),
            "return_aggregate_stream": True,
            "concurrency_modifier": lambda _current: concurrency,
        }
    )

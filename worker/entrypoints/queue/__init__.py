"""RunPod's queue: takes jobs, streams their answers, and reports every one of them.

RunPod's SDK starts the worker (its arguments, fitness checks, pings, URLs and session). Our own
loop (`worker.py`) takes and reports jobs. It replaces the SDK's JobScaler, which loses jobs on
SIGTERM and chunks on a failed POST. The engine runs on the same event loop.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

import runpod.serverless

from worker.boot import boot, preflight
from worker.entrypoints.job import JobFailed, Output, parts
from worker.entrypoints.queue.control_plane import replace_job_scaler
from worker.entrypoints.queue.worker import QueueWorker
from worker.errors import ServerError
from worker.job_metrics import JobMetrics
from worker.service import Service
from worker.settings import Settings

log = logging.getLogger(__name__)

Handler = Callable[[Mapping[str, Any]], AsyncGenerator[Output | Mapping[str, str]]]


def handler_of(service: Service) -> Handler:
    """Creates the handler for the SDK, which yields a job's outputs. Only the SDK's test API
    (--rp_serve_api) calls it.

    If a handler yields `{"error": …}`, the SDK fails the job and passes the text on unchanged.
    """

    async def handler(job: Mapping[str, Any]) -> AsyncGenerator[Output | Mapping[str, str]]:
        try:
            async with aclosing(parts(service, job.get("input"), JobMetrics())) as answer:
                async for part in answer:
                    yield part.encoded()
        except JobFailed as failure:
            yield failure.report

    return handler


def serve_api(service: Service, settings: Settings) -> int:
    """Boots the engine and serves the SDK's own HTTP API.

    It is for tests and realtime endpoints. The SDK starts no worker then, and checks nothing.
    Returns the process's exit status: 1 if the boot fails. Raises SettingsError.
    """
    try:
        asyncio.run(boot(service, settings))
    except ServerError as error:
        log.error("%s", error.message)  # noqa: TRY400 - the engine has logged the traceback
        return 1
    runpod.serverless.start({"handler": handler_of(service), "return_aggregate_stream": True})
    return 0


def run(service: Service, settings: Settings) -> int:
    """Checks this machine, boots the engine and serves jobs until SIGTERM, or until the engine
    dies.

    The SDK requires a handler but never calls it in this mode, because `QueueWorker` takes the
    jobs. It runs the boot as a fitness check: if that fails, it reports this worker to RunPod as
    unhealthy, with the reason, and ends the process with status 1, whatever is wrong. Returns the
    process's exit status: 0 unless the engine died.
    """
    queue_worker = QueueWorker(service, settings)
    replace_job_scaler(queue_worker)

    async def worker_boots() -> None:
        preflight(settings, service.model)
        await boot(service, settings)

    runpod.serverless.register_fitness_check(worker_boots)
    runpod.serverless.start({"handler": handler_of(service), "return_aggregate_stream": True})
    return queue_worker.exit_status

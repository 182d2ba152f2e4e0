"""A local test run: processes one job from `test_input.json` or `--test_input`, as on RunPod.

Rules: each streamed chunk, and then the result, is printed to standard output as one line of JSON,
or, on a terminal, as text for a person (terminal.py); a failed job's result is JSON there too. Logs
go to standard error. The job is processed like a queue job. The SDK's own local run is not used,
because it never iterates a generator and reports success. An invalid job fails before the engine
starts.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from worker.boot import boot
from worker.entrypoints.job import (
    FailureReport,
    JobFailed,
    Output,
    exchange_of,
    failure_report,
    parts,
    read,
)
from worker.entrypoints.terminal import TerminalView
from worker.errors import BadRequest, WorkerError
from worker.job_metrics import JobMetrics
from worker.service import Service
from worker.settings import Settings

log = logging.getLogger(__name__)

TEST_INPUT = Path("test_input.json")


def run(
    service: Service, settings: Settings, test_input: str | None, *, as_text: bool = False
) -> bool:
    """Runs the job; returns whether it completed. Raises SettingsError.

    `test_input`: the job as JSON text, or None to read the file. `as_text`: for a person.
    """
    job_id, metrics = "local_test", JobMetrics()
    try:
        job = _load(test_input)
        job_id = str(job.get("id", job_id))
        asyncio.run(exchange_of(service, read(job.get("input"))))
    except WorkerError as error:
        _print(_failed(job_id, failure_report(error), metrics))
        return False
    view = TerminalView() if as_text else None
    return asyncio.run(_boot_and_answer(service, settings, job_id, job["input"], view))


def _load(test_input: str | None) -> Mapping[str, Any]:
    try:
        job = json.loads(TEST_INPUT.read_text() if test_input is None else test_input)
    except (OSError, ValueError, RecursionError) as error:
        source = TEST_INPUT.name if test_input is None else "--test_input"
        raise BadRequest(f"{source} could not be read as JSON ({type(error).__name__}).") from error
    if not isinstance(job, dict) or "input" not in job:
        raise BadRequest("The job must be a JSON object with an 'input' member.", param="input")
    return job


async def _boot_and_answer(
    service: Service, settings: Settings, job_id: str, job_input: Any, view: TerminalView | None
) -> bool:
    try:
        await boot(service, settings)
        return await _answer(service, job_id, job_input, view)
    except WorkerError as error:
        _print(_failed(job_id, failure_report(error), JobMetrics()))
        return False
    finally:
        await service.engine.close()


async def _answer(service: Service, job_id: str, job_input: Any, view: TerminalView | None) -> bool:
    metrics = JobMetrics()
    collected: list[Output] = []
    try:
        async with aclosing(parts(service, job_input, metrics)) as answer:
            async for part in answer:
                collected.append(part.encoded())
                if view is not None:
                    for item in part.objects:
                        view.show(item)
                elif not part.is_all:
                    _print(collected[-1])
    except JobFailed as failure:
        _print(_failed(job_id, failure.report, metrics))
        return False
    if view is not None:
        view.end(metrics.to_object())
        return True
    log.info("job %s: %s", job_id, metrics.to_object())
    result = {"id": job_id, "status": "COMPLETED", "output": collected}
    _print({**result, "metrics": metrics.to_object()})
    return True


def _failed(job_id: str, report: FailureReport, metrics: JobMetrics) -> dict[str, Any]:
    """The result of a failed job, as RunPod reports it."""
    figures = metrics.to_object()
    return {"id": job_id, "status": "FAILED", **report, "metrics": figures}


def _print(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False), file=sys.stdout, flush=True)

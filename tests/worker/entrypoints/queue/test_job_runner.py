"""What the worker knows of a job when it has run it, against a control plane on loopback."""

import asyncio
import logging

import aiohttp
import pytest
from aiohttp import web
from runpod.serverless.modules import rp_http

from tests.support.scripted_engine import ScriptedEngine
from tests.worker.entrypoints.test_job import ANSWER, HELLO
from worker.access_log import request_log
from worker.entrypoints.queue.control_plane import ControlPlane
from worker.entrypoints.queue.job_runner import JobRunner
from worker.entrypoints.queue.jobs import Job
from worker.metrics import Telemetry
from worker.model import Model
from worker.service import Service
from worker.settings import Settings


async def ran(stream_status: int, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str]]:
    """Runs a streamed job whose chunks get that status. Returns its report, and the metrics."""
    reports: list[str] = []

    async def stream(_: web.Request) -> web.Response:
        return web.Response(status=stream_status)

    async def done(request: web.Request) -> web.Response:
        reports.append(await request.text())
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/stream/{id}", stream), web.post("/done/{id}", done)])
    server = web.AppRunner(app)
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    host, port = server.addresses[0]
    for name, path in (("JOB_STREAM_URL", "stream"), ("JOB_DONE_URL", "done")):
        monkeypatch.setattr(rp_http, name, f"http://{host}:{port}/{path}/$ID?gpu=x")
    engine = ScriptedEngine(ANSWER)
    await engine.start()
    settings = Settings()
    service = Service(engine, Model(path="x", names=("demo",), context_length=4096), settings)
    telemetry = Telemetry(engine, service.boot_seconds)
    try:
        async with aiohttp.ClientSession() as session:
            plane = ControlPlane(session, telemetry)
            runner = JobRunner(service, plane, telemetry, request_log(settings, "demo"), 0)
            await runner.run(Job("j1", {"messages": HELLO, "stream": True}))
    finally:
        await server.cleanup()
    (report,) = reports
    return report, telemetry.text().decode().splitlines()


@pytest.mark.parametrize(
    ("stream_status", "status", "reported"), [(200, 200, '"output"'), (400, 500, '"error"')]
)
def test_a_job_is_logged_and_counted_whether_or_not_its_chunks_arrive(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    stream_status: int,
    status: int,
    reported: str,
) -> None:
    """With its route and the status that it ended with."""
    with caplog.at_level(logging.INFO):
        report, metrics = asyncio.run(ran(stream_status, monkeypatch))
    assert reported in report
    assert f"j1 /v1/chat/completions {status}" in caplog.text
    counted = f'route="/v1/chat/completions",status="{status}"}} 1.0'
    assert [line for line in metrics if counted in line]

"""What the worker can be watched by: /metrics, and the dashboard that reads it."""

import asyncio
import json
import re
import socket
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from tests.support import ROOT
from tests.support.emulation import emulation
from tests.support.http_server import CHAT, HELLO, GatedEngine, RunningServer, running, until
from tests.support.scripted_engine import tokens
from worker.engine.port import Capacity
from worker.entrypoints.queue.monitoring import serve_monitoring
from worker.harmony import Parser
from worker.harmony.capsule import Capsules
from worker.harmony.parsing.recoveries import Recovery
from worker.metrics import Telemetry
from worker.settings import Settings

DASHBOARD = ROOT / "docs" / "grafana.json"


class MeasuredEngine(GatedEngine):
    """One that says how busy it is."""

    def load(self) -> Any:
        from worker.engine.port import Load

        return Load(running=3, queued=2, kv_usage=0.5, prefix_hits=0.25)

    def capacity(self) -> Capacity:
        return Capacity(context_length=100_000, kv_tokens=120_000)

    def boot_seconds(self) -> dict[str, float]:
        return {"engine": 20.0, "warm_up": 0.5}


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with running(MeasuredEngine()) as server:
        yield server


def read(server: RunningServer) -> dict[tuple[str, ...], float]:
    """Every sample, by its name and the values of its labels."""
    response = server.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def noted(server: RunningServer, jobs: int) -> dict[tuple[str, ...], float]:
    """The samples once so many jobs have ended, which they do just after their last byte."""
    until(lambda: read(server)["gpt_oss_job_seconds_count",] == jobs)
    return read(server)


def test_requests_are_counted_by_route_and_status(server: RunningServer) -> None:
    """Whatever is asked for, there are few routes: nothing grows with what clients send."""
    server.client.post(CHAT, json=HELLO)
    server.client.post(f"/openai{CHAT}", json={})
    server.client.get("/v1/models/a")
    server.client.get("/v1/models/b")
    server.client.get("/x")
    samples = read(server)
    assert samples["gpt_oss_requests_total", CHAT, "200"] == 1
    assert samples["gpt_oss_requests_total", CHAT, "400"] == 1
    assert samples["gpt_oss_requests_total", "/v1/models/{name}", "404"] == 2
    assert samples["gpt_oss_requests_total", "other", "404"] == 1


@pytest.mark.parametrize("stream", [True, False])
def test_tokens_and_times_are_those_of_the_answers(server: RunningServer, stream: bool) -> None:
    """The usage's tokens; one first token for each answer, the gaps between all others."""
    usages = [server.client.post(CHAT, json=HELLO).json()["usage"] for _ in range(2)]
    server.client.post(CHAT, json={**HELLO, "stream": stream})
    samples = noted(server, 3)
    assert samples["gpt_oss_tokens_total", "prompt"] == 3 * usages[0]["prompt_tokens"]
    assert samples["gpt_oss_tokens_total", "completion"] == 3 * usages[0]["completion_tokens"]
    assert samples["gpt_oss_tokens_total", "cached"] > 0
    assert samples["gpt_oss_time_to_first_token_seconds_count",] == 3
    assert samples["gpt_oss_job_seconds_count",] == 3
    gaps = 3 * (usages[0]["completion_tokens"] - 1)
    assert samples["gpt_oss_inter_token_seconds_count",] == gaps


def test_the_engine_says_how_busy_it_is(server: RunningServer) -> None:
    """At the time of the look."""
    samples = read(server)
    assert samples["gpt_oss_requests_running",] == 3
    assert samples["gpt_oss_requests_queued",] == 2
    assert samples["gpt_oss_kv_usage_ratio",] == 0.5
    assert samples["gpt_oss_prefix_hit_ratio",] == 0.25
    assert samples["gpt_oss_boot_seconds", "engine"] == 20.0
    assert samples["gpt_oss_context_tokens",] == 100_000
    assert samples["gpt_oss_kv_cache_tokens",] == 120_000
    assert samples["gpt_oss_engine_ready",] == 1


def test_an_engine_need_not_say_anything() -> None:
    """The port does not ask it to."""
    with running(GatedEngine()) as server:
        assert read(server)["gpt_oss_engine_ready",] == 1


def test_mended_outputs_are_counted_by_kind() -> None:
    """Here a call on the analysis channel, whose arguments lack a bracket."""
    script = tokens('<|channel|>analysis to=functions.f code<|message|>{"a": 1<|call|>')
    with running(MeasuredEngine(script)) as server:
        server.client.post(CHAT, json=HELLO)
        samples = noted(server, 1)
    assert samples["gpt_oss_parser_recoveries_total", "channel"] == 1
    assert samples["gpt_oss_parser_recoveries_total", "arguments"] == 1


def test_where_earlier_reasoning_came_from_is_counted() -> None:
    """A turn with calls in the prompt has it as text, as exact ids, or has lost it."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [
        {"role": "assistant", "reasoning": "I need f.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "assistant", "tool_calls": [{**call, "id": "b"}]},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
    ]
    thinking = {"type": "thinking", "thinking": "", "signature": Capsules().seal([1, 2, 3])}
    use = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c", "content": "3"}
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [thinking, use]},
        {"role": "user", "content": [result]},
    ]
    with running(MeasuredEngine()) as server:
        server.client.post(CHAT, json={"messages": [*HELLO["messages"], *turns]})
        server.client.post("/v1/messages", json={"messages": messages, "max_tokens": 9})
        samples = noted(server, 2)
    found = {s: samples["gpt_oss_reasoning_total", s] for s in ("content", "lost", "capsule")}
    assert found == {"content": 1, "lost": 1, "capsule": 1}


CALL = "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>"


@pytest.mark.parametrize(
    ("output", "mended"),
    [
        (CALL, []),
        (" to=functions.f<|channel|>commentary json<|message|>{}<|call|>", []),
        (f"<|channel|>analysis<|message|>Hm<|end|><|start|>assistant{CALL}", []),
        ("<|channel|>final<|message|>Hi<|return|>", []),
        ("<|channel|>final<|message|>Hi", []),
        ("Hi<|return|>", [Recovery.MISSING_HEADER]),
        (f"<|channel|>analysis<|message|>Hm<|end|>assistant{CALL}", [Recovery.MISSING_START]),
        ('<|channel|>commentary to=functions.f json{"a": 1}<|call|>', [Recovery.MISSING_MESSAGE]),
        ("<|channel|>commentary to=f <|constrain|>json<|message|>{}<|call|>", [Recovery.RECIPIENT]),
        ("<|channel|>analysis to=functions.f json<|message|>{}<|call|>", [Recovery.CHANNEL]),
        (CALL.replace("{}", '{"a": 1,}'), [Recovery.ARGUMENTS]),
    ],
)
def test_the_parser_says_what_it_had_to_mend(output: str, mended: list[Recovery]) -> None:
    """And counts nothing where the output is as it should be."""
    parser = Parser([{"type": "function", "function": {"name": "f"}}])
    parser.feed(tokens(output))
    parser.finish()
    assert sorted(parser.recoveries.elements()) == sorted(mended)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def queue_page() -> Iterator[str]:
    """/metrics of a queue worker (RunPod's SDK, a paced engine) that had one delivery refused twice
    and whose jobs have ended, the last of them badly."""
    port = free_port()
    worker = (sys.executable, "-m", "tests.support.paced_worker")
    with emulation(1, worker, METRICS_PORT=str(port), MODEL="demo", LOG_LEVEL="info") as plane:
        plane.ready()
        plane.set_faults(stream={"fail": {"next": 2}})
        plane.ended(plane.submit({**HELLO, "stream": True}))
        plane.ended(plane.submit({"openai_route": "/v1/models"}))
        plane.ended(plane.submit({"messages": []}))
        yield httpx.get(f"http://127.0.0.1:{port}/metrics").text


def values(page: str) -> dict[str, float]:
    """The sum of every series, by its name; of a histogram, how often it was observed."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if not sample.name.endswith(("_bucket", "_sum")):
                name = sample.name.removesuffix("_count")
                sums[name] = sums.get(name, 0) + sample.value
    return sums


def test_a_queue_worker_counts_its_deliveries_and_retries(queue_page: str) -> None:
    """On a port of its own, METRICS_PORT: RunPod's queue asks for none."""
    seen = values(queue_page)
    assert seen["gpt_oss_post_retries_total"] == 2
    assert seen["gpt_oss_post_seconds"] >= 2  # a chunk, and the result
    assert seen["gpt_oss_job_seconds"] == 1
    assert seen["gpt_oss_tokens_total"] > 0


def test_jobs_are_counted_by_route_and_status(queue_page: str) -> None:
    """As requests over HTTP are."""
    counted = {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families(queue_page)
        for sample in family.samples
        if sample.name == "gpt_oss_requests_total"
    }
    assert counted == {(CHAT, "200"): 1, (CHAT, "400"): 1, ("/v1/models", "200"): 1}


async def statuses(settings: Settings, *asked: tuple[str, str]) -> list[int]:
    """What a queue worker's port answers to (path, Authorization)."""
    engine = MeasuredEngine()
    await engine.start()
    async with serve_monitoring(engine, Telemetry(engine), settings), httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{settings.metrics_port}"
        return [
            (await client.get(url + path, headers={"Authorization": key})).status_code
            for path, key in asked
        ]


def test_a_queue_workers_port_asks_for_the_key() -> None:
    """As the HTTP API does, which has more routes."""
    settings = Settings(metrics_port=free_port(), api_key=(SecretStr("secret"),))
    asked = [("/ping", ""), ("/metrics", ""), ("/metrics", "Bearer secret")]
    asked.append(("/v1/models", "Bearer secret"))
    assert asyncio.run(statuses(settings, *asked)) == [200, 401, 200, 404]


def test_a_port_that_is_taken_does_not_end_a_queue_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Jobs are worth more than figures; whoever has the port answers."""
    with running(GatedEngine()) as server:
        port = server.client.base_url.port
        assert asyncio.run(statuses(Settings(metrics_port=port), ("/ping", ""))) == [200]
    assert f"METRICS_PORT={port}: cannot listen" in caplog.text


def test_every_series_of_the_dashboard_moves(queue_page: str) -> None:
    """Each counts something that happens: on the HTTP API, or on the queue."""
    script = tokens('<|channel|>analysis to=functions.f code<|message|>{"a": 1<|call|>')
    with running(MeasuredEngine(script)) as server:
        server.client.post(CHAT, json=HELLO)
        noted(server, 1)
        over_http = values(server.client.get("/metrics").text)
    on_queue = values(queue_page)
    still = {name for name in over_http if not over_http[name] and not on_queue.get(name)}
    assert still == set()


def test_the_dashboard_knows_the_metrics() -> None:
    """Every metric that it reads is there, and every metric that is there is read."""
    with running(MeasuredEngine()) as server:
        families = text_string_to_metric_families(server.client.get("/metrics").text)
        there = {
            f"{family.name}_total" if family.type == "counter" else family.name
            for family in families
        }
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    read_names = {n.removesuffix("_bucket") for n in re.findall(r"gpt_oss_\w+", asked)}
    assert read_names == there

"""Traces, as a collector on loopback receives them from OpenTelemetry's own exporter."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import StatusCode

from tests.support.http_server import CHAT, HELLO, running
from worker import access_log
from worker.access_log import RequestLog, request_log
from worker.job_metrics import JobMetrics
from worker.settings import Settings
from worker.tracing import Tracing

CALLER = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


class Collector(HTTPServer):
    """Takes OTLP over HTTP and keeps the spans, each with its attributes and its resource's."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[tuple[Any, dict[str, Any], dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        body = self.rfile.read(int(self.headers["content-length"]))
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _values(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self.server.spans += [(s, _values(s.attributes), resource) for s in of_scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _values(attributes: Any) -> dict[str, Any]:
    def value(any_value: Any) -> Any:
        kind = any_value.WhichOneof("value")
        found = getattr(any_value, kind)
        return [value(each) for each in found.values] if kind == "array_value" else found

    return {each.key: value(each.value) for each in attributes}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector
        collector.shutdown()


@pytest.fixture
def tracings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Tracing]]:
    """Those that workers make meanwhile, to be closed: a span is sent seconds after its end."""
    made: list[Tracing] = []

    class Kept(Tracing):
        def __init__(self, model: str) -> None:
            super().__init__(model)
            made.append(self)

    monkeypatch.setattr("worker.tracing.Tracing", Kept)
    yield made
    for each in made:
        each.close()


def test_a_request_is_a_span_of_its_callers_trace(
    collector: Collector, tracings: list[Tracing]
) -> None:
    """With the figures of its answer, under the names of the GenAI conventions."""
    with running(otel_exporter_otlp_endpoint=collector.url) as server:
        asked = server.client.post(CHAT, json=HELLO, headers=CALLER | {"x-request-id": "req-7"})
        usage = asked.json()["usage"]
        server.client.get("/ping")
    tracings[0].close()
    ((span, attributes, resource),) = collector.spans  # and none of /ping
    assert span.name == "chat demo"
    assert span.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert span.parent_span_id.hex() == "b7ad6b7169203331"
    assert span.end_time_unix_nano > span.start_time_unix_nano
    assert resource["service.name"] == "gpt-oss-worker"
    first_chunk = attributes.pop("gen_ai.response.time_to_first_chunk")
    assert 0 < first_chunk < (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9 + 0.001
    assert attributes == {
        "http.route": CHAT,
        "http.response.status_code": 200,
        "gpt_oss.request.id": "req-7",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "sglang",
        "gen_ai.request.model": "demo",
        "gen_ai.response.model": "demo",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": usage["prompt_tokens"],
        "gen_ai.usage.cache_read.input_tokens": usage["prompt_tokens_details"]["cached_tokens"],
        "gen_ai.usage.output_tokens": usage["completion_tokens"],
        "gen_ai.usage.reasoning.output_tokens": 0,
    }


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (200, StatusCode.UNSET, None),
        (400, StatusCode.UNSET, None),
        (503, StatusCode.ERROR, "503"),
        (None, StatusCode.ERROR, "cancelled"),
    ],
)
def test_a_span_says_whether_the_worker_failed(
    collector: Collector, status: int | None, code: StatusCode, error: str | None
) -> None:
    """A client's mistake is no error of the server's."""
    tracing = Tracing("demo")
    RequestLog(tracing).note("job-1", "/v1/models", status, JobMetrics())
    tracing.close()
    ((span, attributes, _),) = collector.spans
    assert span.name == "/v1/models"
    assert (span.status.code, attributes.get("error.type")) == (code.value, error)
    assert attributes.get("http.response.status_code") == status


def test_the_sdk_reads_its_own_variables(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service's name, for one."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "agents")
    tracing = Tracing("demo")
    RequestLog(tracing).note("job-1", "/v1/models", 200, JobMetrics())
    tracing.close()
    ((_, _, resource),) = collector.spans
    assert resource["service.name"] == "agents"


def test_without_a_collector_there_is_no_tracing() -> None:
    """Nor is the SDK imported."""
    log = request_log(Settings(), "demo")
    assert log._tracing is None
    assert "opentelemetry" not in vars(access_log)

"""OpenTelemetry traces: one span for each request, sent by the official SDK.

The span is made when the request ends, with the times and figures that the access log has too, so
nothing is done for each token. Its parent is the caller's span, from the header `traceparent`.
Spans are sent in batches by a thread of the SDK's.

This module imports the SDK; it is imported only if OTEL_EXPORTER_OTLP_ENDPOINT is set. The SDK
reads its other variables itself (OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME, …).
Source: the attributes are those of OpenTelemetry's GenAI conventions (still in development in
November 2026), https://github.com/open-telemetry/semantic-conventions-genai.
"""

import time
from collections.abc import Iterator, Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from worker.job_metrics import JobMetrics

_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "chat",
    "/v1/messages": "chat",
    "/v1/completions": "text_completion",
}
Attribute = str | int | float | tuple[str, ...]


class Tracing:
    """Sends the spans of a worker that serves `model`."""

    def __init__(self, model: str) -> None:
        self._model = model
        named = Resource({SERVICE_NAME: "gpt-oss-worker"})
        self._provider = TracerProvider(resource=named.merge(OTELResourceDetector().detect()))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("gpt-oss-worker")
        self._propagator = TraceContextTextMapPropagator()

    def note(
        self,
        id_: str,
        route: str,
        status: int | None,
        metrics: JobMetrics,
        headers: Mapping[str, str],
    ) -> None:
        """Records a request that has ended; the arguments are those of `RequestLog.note`."""
        operation = _OPERATIONS.get(route)
        end = time.time_ns()
        span = self._tracer.start_span(
            f"{operation} {self._model}" if operation else route,
            context=self._propagator.extract(headers),
            kind=SpanKind.SERVER,
            attributes=dict(self._attributes(id_, route, status)),
            start_time=end - round(metrics.seconds * 1e9),
        )
        if operation is not None:
            span.set_attributes(dict(self._figures(operation, metrics)))
        if status is None or status >= 500:
            span.set_status(Status(StatusCode.ERROR))
            span.set_attribute("error.type", "cancelled" if status is None else str(status))
        span.end(end)

    def _attributes(
        self, id_: str, route: str, status: int | None
    ) -> Iterator[tuple[str, Attribute]]:
        yield "http.route", route
        yield "gpt_oss.request.id", id_
        if status is not None:
            yield "http.response.status_code", status

    def _figures(self, operation: str, metrics: JobMetrics) -> Iterator[tuple[str, Attribute]]:
        yield "gen_ai.operation.name", operation
        yield "gen_ai.provider.name", "sglang"
        yield "gen_ai.request.model", self._model
        yield "gen_ai.response.model", self._model
        if metrics.first_token_seconds is not None:
            yield "gen_ai.response.time_to_first_chunk", metrics.first_token_seconds
        if metrics.finish_reasons:
            yield "gen_ai.response.finish_reasons", metrics.finish_reasons
        if (usage := metrics.usage) is not None:
            yield "gen_ai.usage.input_tokens", usage.prompt
            yield "gen_ai.usage.cache_read.input_tokens", usage.cached
            yield "gen_ai.usage.output_tokens", usage.completion
            yield "gen_ai.usage.reasoning.output_tokens", usage.reasoning

    def close(self) -> None:
        """Sends what is left."""
        self._provider.shutdown()

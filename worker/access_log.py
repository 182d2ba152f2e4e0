"""The access log: one line for each answered request, over HTTP or from the queue.

The text line is for people; with LOG_FORMAT=json, its figures are members of the line's object.
With OTEL_EXPORTER_OTLP_ENDPOINT, each is also sent as a span (worker/tracing.py). Nothing is done
here for each token.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from worker.job_metrics import JobMetrics
from worker.logs import LOG_FIELDS
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.tracing import Tracing

log = logging.getLogger(__name__)


class RequestLog:
    """The requests of a worker, as they end."""

    def __init__(self, tracing: "Tracing | None" = None) -> None:
        self._tracing = tracing

    def note(
        self,
        id_: str,
        route: str,
        status: int | None,
        metrics: JobMetrics,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Records a request that has ended. `status`: HTTP's; None if the client went away or
        stopped the job before there was one. `headers`: the caller's, with its span if any."""
        log_request(id_, route, status, metrics)
        if self._tracing is not None:
            self._tracing.note(id_, route, status, metrics, headers or {})


def request_log(settings: Settings, model: str) -> RequestLog:
    """The log of a worker that serves `model`, with traces if the settings have a collector."""
    if not settings.otel_exporter_otlp_endpoint:
        return RequestLog()
    from worker.tracing import Tracing  # it imports OpenTelemetry's SDK

    return RequestLog(Tracing(model))


def log_request(id_: str, route: str, status: int | None, metrics: JobMetrics) -> None:
    """Writes a request's line; the arguments are those of `RequestLog.note`."""
    if not log.isEnabledFor(logging.INFO):
        return
    figures = metrics.to_object()
    shown = [
        f"{text} {figures[name]:,}{unit}"
        for name, text, unit in (
            ("prompt_tokens", "in", ""),
            ("cached_tokens", "cached", ""),
            ("completion_tokens", "out", ""),
            ("ttft_ms", "first token", " ms"),
            ("total_ms", "total", " ms"),
        )
        if name in figures
    ]
    fields: dict[str, Any] = {"id": id_, "route": route, "status": status, **figures}
    ended = "stopped" if status is None else status
    log.info("%s %s %s: %s", id_, route, ended, ", ".join(shown), extra={LOG_FIELDS: fields})

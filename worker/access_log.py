"""The access log: one line for each answered request, over HTTP or from the queue.

The text line is for people; with LOG_FORMAT=json, its figures are members of the line's object.
Nothing is done here for each token.
"""

import logging
from typing import Any

from worker.job_metrics import JobMetrics
from worker.logs import FIELDS

log = logging.getLogger(__name__)


def log_request(id_: str, route: str, status: int | None, metrics: JobMetrics) -> None:
    """Logs a request that has ended. `status`: HTTP's; None if the client went away or stopped
    the job before there was one."""
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
    log.info("%s %s %s: %s", id_, route, ended, ", ".join(shown), extra={FIELDS: fields})

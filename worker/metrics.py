"""All Prometheus metrics of the worker.

Rules: labels have low cardinality, whatever clients send. A job's figures are recorded when it
ends, from its JobMetrics; the engine's figures are read at each scrape.
Source: https://prometheus.io/docs/practices/naming. The dashboard is docs/grafana.json.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from worker.engine import Engine
from worker.engine.port import MeasurableEngine
from worker.job_metrics import GAP_BOUNDS, Gaps, JobMetrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

disable_created_metrics()  # they would double the number of series, and nothing uses them

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_LONG = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Telemetry:
    """The metrics of one worker. Entrypoints record to it; `text` is what Prometheus scrapes.

    `boot_seconds`: the duration of each phase of the boot.
    """

    def __init__(
        self, engine: Engine, boot_seconds: Callable[[], Mapping[str, float]] = dict
    ) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        self._requests = self._counter("requests", "Requests answered.", "route", "status")
        self._tokens = self._counter(
            "tokens",
            "Tokens, by kind: prompt, cached (of the prompt), completion, reasoning.",
            "kind",
        )
        self._reasoning = self._counter(
            "reasoning",
            "Turns in prompts, by source of their reasoning: capsule, content, memory, or lost.",
            "source",
        )
        self._recoveries = self._counter(
            "parser_recoveries", "Malformed outputs recovered by the parser, by kind.", "kind"
        )
        self._retries = self._counter("post_retries", "Retried deliveries to RunPod's queue.")
        self._first_token = self._histogram(
            "time_to_first_token_seconds",
            "Time from receiving a request to its first token.",
            _LONG,
        )
        self._gaps = Gaps()
        self._registry.register(_GapCollector(self._gaps))
        self._job = self._histogram(
            "job_seconds", "Time from receiving a request to its last token.", _LONG
        )
        self._posts = self._histogram(
            "post_seconds", "Duration of a delivery to RunPod's queue.", _SHORT
        )
        self._registry.register(_EngineCollector(engine, boot_seconds))

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"gpt_oss_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"gpt_oss_{name}", text, buckets=buckets, registry=self._registry)

    def note_request(self, route: str, status: int) -> None:
        """Records an answered request, over HTTP or as a job."""
        self._requests.labels(route, str(status)).inc()

    def note_post(self, seconds: float, tries: int) -> None:
        """Records a successful delivery to RunPod's queue: its duration and number of attempts."""
        self._posts.observe(seconds)
        self._retries.inc(tries - 1)

    def note_job(self, job: JobMetrics) -> None:
        """Records a finished job, whatever its outcome."""
        if job.answered is not None:
            self.note_request(*job.answered)
        if job.first_token_seconds is not None:
            self._first_token.observe(job.first_token_seconds)
            self._job.observe(job.seconds)
        self._gaps.add_all(job.gaps)
        for source, count in job.reasoning.items():
            self._reasoning.labels(source).inc(count)
        for kind, count in job.recoveries.items():
            self._recoveries.labels(kind).inc(count)
        if usage := job.usage:
            self._tokens.labels("prompt").inc(usage.prompt)
            self._tokens.labels("cached").inc(usage.cached)
            self._tokens.labels("completion").inc(usage.completion)
            self._tokens.labels("reasoning").inc(usage.reasoning)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _GapCollector(Collector):
    """A histogram of gaps that were counted elsewhere; Prometheus's own takes them one by one."""

    def __init__(self, gaps: Gaps) -> None:
        self._gaps = gaps

    def collect(self) -> Iterator[Metric]:
        bounds = [*map(floatToGoString, GAP_BOUNDS), "+Inf"]
        counts = accumulate(self._gaps.counts)  # Prometheus's buckets are cumulative
        yield HistogramMetricFamily(
            "gpt_oss_inter_token_seconds",
            "Time between generation steps.",
            list(zip(bounds, counts, strict=True)),
            self._gaps.seconds,
        )


class _EngineCollector(Collector):
    """Reads the engine's own figures at each scrape, if it reports any."""

    def __init__(self, engine: Engine, boot_seconds: Callable[[], Mapping[str, float]]) -> None:
        self._engine = engine
        self._boot_seconds = boot_seconds

    def collect(self) -> Iterator[Metric]:
        ready = 1.0 if self._engine.health().value == "ready" else 0.0
        yield GaugeMetricFamily("gpt_oss_engine_ready", "1 if the engine is ready, else 0.", ready)
        if not isinstance(self._engine, MeasurableEngine):
            return
        load = self._engine.load()
        running = "Generations in progress."
        yield GaugeMetricFamily("gpt_oss_requests_running", running, load.running)
        waiting = "Generations waiting for their first step."
        yield GaugeMetricFamily("gpt_oss_requests_queued", waiting, load.queued)
        yield GaugeMetricFamily(
            "gpt_oss_kv_usage_ratio", "Fraction of the KV cache in use.", load.kv_usage
        )
        hits = "Fraction of the last prefill's tokens found in the prefix cache."
        yield GaugeMetricFamily("gpt_oss_prefix_hit_ratio", hits, load.prefix_hits)
        capacity = self._engine.capacity()
        context = "Longest request that can be served, in tokens; 0 until the engine is ready."
        yield GaugeMetricFamily("gpt_oss_context_tokens", context, capacity.context_length)
        holds = "Tokens that the KV cache holds; 0 until the engine is ready."
        yield GaugeMetricFamily("gpt_oss_kv_cache_tokens", holds, capacity.kv_tokens)
        phases = GaugeMetricFamily(
            "gpt_oss_boot_seconds", "Duration of each startup phase.", labels=["phase"]
        )
        for phase, seconds in self._boot_seconds().items():
            phases.add_metric([phase], seconds)
        yield phases

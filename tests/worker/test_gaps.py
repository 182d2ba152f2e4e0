"""The times between steps: the same histogram as Prometheus's own, in constant room."""

import sys

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from tests.support.scripted_engine import ScriptedEngine
from worker.job_metrics import GAP_BOUNDS, Gaps, JobMetrics
from worker.metrics import Telemetry

NAME = "gpt_oss_inter_token_seconds"
SECONDS = st.sampled_from(GAP_BOUNDS) | st.floats(0, 10)


@given(st.lists(st.lists(SECONDS)))
def test_gaps_are_reported_as_prometheus_reports_them(jobs: list[list[float]]) -> None:
    """Every bucket and the count, over all jobs; a gap equal to a bound is within it."""
    registry = CollectorRegistry()
    expected = Histogram(NAME, "Theirs.", buckets=GAP_BOUNDS, registry=registry)
    telemetry = Telemetry(ScriptedEngine([]))
    for gaps in jobs:
        metrics = JobMetrics()
        for gap in gaps:
            metrics.gaps.add(gap)
            expected.observe(gap)
        telemetry.note_job(metrics)
    assert samples(telemetry._registry) == samples(registry)


def samples(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    """The count of each bucket, and of all."""
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name in (f"{NAME}_bucket", f"{NAME}_count")
    }


def test_a_long_answer_takes_no_more_room_than_a_short_one() -> None:
    """Counts, not times, are kept."""
    gaps = Gaps()
    gaps.add(0.02)
    room = sys.getsizeof(gaps.counts)
    for _ in range(10_000):
        gaps.add(0.02)
    assert sum(gaps.counts) == 10_001
    assert sys.getsizeof(gaps.counts) == room

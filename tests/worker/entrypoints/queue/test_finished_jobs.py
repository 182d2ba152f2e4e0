"""Results of jobs that ended lately, for a job that is delivered once more."""

from worker.entrypoints.queue.finished_jobs import KEPT_SECONDS, FinishedJobs

ANSWER = ["Hi."]


def test_an_answer_is_known_for_a_while() -> None:
    """And then forgotten, so that memory is bounded by time."""
    now = 100.0
    results = FinishedJobs(lambda: now)
    results.keep("a", ANSWER)
    now += KEPT_SECONDS
    results.keep("b", ANSWER)
    assert (results.of("a"), results.of("b"), results.of("c")) == (ANSWER, ANSWER, None)
    now += 1
    assert (results.of("a"), results.of("b")) == (None, ANSWER)

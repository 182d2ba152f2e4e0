"""The emulator as RunPod's own SDK meets it: a worker process that runs the real SDK."""

from collections.abc import Iterator

import pytest

from tests.support.emulation import Emulation, emulation, eventually, refused, streamed


@pytest.fixture(scope="module")
def plane() -> Iterator[Emulation]:
    """An emulator with two workers of the toy kind."""
    with emulation(workers=2, POLL_SECONDS="1") as running:
        running.ready(2)
        yield running


@pytest.fixture(autouse=True)
def no_faults(plane: Emulation) -> None:
    """Every test starts without faults."""
    plane.set_faults()


def test_a_job_is_streamed_and_its_output_is_the_list_of_its_chunks(plane: Emulation) -> None:
    """Each yield is one POST; the result has them all."""
    job = plane.ended(plane.submit({"words": ["to", "be"]}))
    assert job["state"] == "COMPLETED"
    assert streamed(job) == job["output"] == ["to", "be"]


def test_jobs_spread_over_the_workers(plane: Emulation) -> None:
    """A burst larger than one worker's share reaches both."""
    ids = [plane.submit({"words": ["a"] * 4, "pause": 0.1}) for _ in range(8)]
    assert {plane.ended(job_id)["worker"] for job_id in ids} == {"worker-1", "worker-2"}


def test_a_failed_job_has_the_workers_error(plane: Emulation) -> None:
    """The text is passed on as it is."""
    job = plane.ended(plane.submit({"words": ["a"], "error": "no more words"}))
    assert (job["state"], job["error"]) == ("FAILED", "no more words")


def test_a_cancelled_job_is_stopped_in_its_worker(plane: Emulation) -> None:
    """The stop channel reaches the SDK: no chunk and no result come any more."""
    job_id = plane.submit({"words": ["a"] * 1000, "pause": 0.05})
    eventually(lambda: job_id in pinged(plane))
    plane.cancel(job_id)
    eventually(lambda: job_id not in pinged(plane))
    assert plane.ended(plane.submit({"words": ["b"]}))["state"] == "COMPLETED"
    job = plane.job(job_id)
    assert job["state"] == "CANCELLED"
    assert len(streamed(job)) < 100


def pinged(plane: Emulation) -> list[str]:
    """The ids of the jobs that the workers' last pings name as in progress."""
    return [job_id for worker in plane.workers() for job_id in worker["reported"]]


def test_a_5xx_on_a_chunk_is_tried_again_by_the_sdk(plane: Emulation) -> None:
    """Both POSTs are on record, and the stream is whole."""
    plane.set_faults(stream={"fail": {"next": 1}})
    job = plane.ended(plane.submit({"words": ["a", "b"]}))
    assert refused(job) == [("stream", 503)]
    assert streamed(job) == ["a", "b"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [({"drop": {"next": 1}}, None), ({"busy": {"next": 1}}, 429), ({"max_bytes": 15}, 413)],
)
def test_a_chunk_that_the_sdk_does_not_send_again_is_a_hole(
    plane: Emulation, fault: dict[str, object], status: int | None
) -> None:
    """The platform never sees the text of a POST that was dropped, or refused with 429 or 413."""
    plane.set_faults(stream=fault)
    job = plane.ended(plane.submit({"words": ["long", "b"]}))
    assert refused(job) == [("stream", status)]
    assert streamed(job) == ["b"]


def test_the_jobs_of_a_killed_worker_are_retried_by_the_others(plane: Emulation) -> None:
    """The attempt of the dead worker stays on record; the job's stream begins anew."""
    job_id = plane.submit({"words": ["a"] * 20, "pause": 0.1})
    victim = plane.in_state(job_id, "IN_PROGRESS")["worker"]
    plane.kill(victim)
    job = plane.ended(job_id)
    assert plane.exit_status(victim) == -9
    assert job["state"] == "COMPLETED"
    assert [attempt["worker"] != victim for attempt in job["attempts"]] == [False, True]
    assert streamed(job) == ["a"] * 20
    plane.start_worker()
    plane.ready(2)


def test_a_job_that_comes_after_sigterm_is_lost_by_the_sdk_and_retried(plane: Emulation) -> None:
    """The SDK takes it and never runs it; its worker's end gives it to another."""
    plane.set_faults(hold_until_stop=True)
    job_id = plane.submit({"words": ["a"]})
    leaving = plane.ready(2)[0]
    plane.terminate(leaving)
    eventually(lambda: plane.job(job_id)["attempts"])
    plane.set_faults()
    assert plane.exit_status(leaving) == 0
    job = plane.ended(job_id)
    assert job["state"] == "COMPLETED"
    assert [attempt["worker"] == leaving for attempt in job["attempts"]] == [True, False]
    plane.start_worker()
    plane.ready(2)


def test_workers_whose_pings_are_missed_count_as_dead_until_they_are_heard(
    plane: Emulation,
) -> None:
    """Nothing is wrong with them: they come back with the first ping.

    A worker that never pinged cannot miss one, so each has pinged before the fault begins.
    """
    eventually(lambda: all(w["pings"] or w["state"] == "exited" for w in plane.workers()))
    plane.set_faults(miss_pings=True)
    eventually(lambda: all(w["state"] in ("unhealthy", "exited") for w in plane.workers()))
    job_id = plane.submit({"words": ["a"]})
    assert plane.job(job_id)["state"] == "IN_QUEUE"
    plane.set_faults()
    assert plane.ended(job_id)["state"] == "COMPLETED"

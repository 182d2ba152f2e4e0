"""The worker API, called by hand: no SDK, so each reply can be seen.

A worker here is an HTTP client that takes a job, POSTs its chunks and reports its result.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
import httpx
import pytest

from tests.support.emulation import Emulation, emulation, refused, streamed


@pytest.fixture(scope="module")
def plane() -> Iterator[Emulation]:
    """An emulator without workers; polls end at once."""
    with emulation(POLL_SECONDS="0.2") as running:
        yield running


@pytest.fixture(autouse=True)
def no_faults(plane: Emulation) -> None:
    plane.set_faults()


class Hand:
    """A worker by hand."""

    def __init__(self, plane: Emulation, name: str) -> None:
        self.plane = plane
        self.name = name
        self.http = httpx.Client(base_url=plane.endpoint_url, timeout=30)

    def take(self) -> httpx.Response:
        return self.http.get(f"/job-take/{self.name}?job_in_progress=0")

    def start(self, job_input: Any = None) -> str:
        """Submits a job and takes it; its id."""
        job_id = self.plane.submit(job_input)
        assert self.take().json()["id"] == job_id
        return job_id

    def send(self, job_id: str, output: Any, key: str | None = None) -> httpx.Response:
        return self._post("job-stream", job_id, {"output": output}, key)

    def report(self, job_id: str, result: Any, key: str | None = None) -> httpx.Response:
        return self._post("job-done", job_id, result, key)

    def _post(self, route: str, job_id: str, body: Any, key: str | None) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.http.post(f"/{route}/{self.name}/{job_id}", json=body, headers=headers)


@pytest.fixture
def hand(plane: Emulation) -> Iterator[Hand]:
    """A worker that the emulator has not heard of before."""
    worker = Hand(plane, f"hand-{len(plane.workers())}")
    yield worker
    worker.http.close()


def test_a_poll_without_jobs_ends_empty(hand: Hand) -> None:
    """204, after the time of a poll."""
    assert hand.take().status_code == 204


def test_a_batch_is_a_list(plane: Emulation, hand: Hand) -> None:
    """Also where it has one job."""
    job_id = plane.submit({"n": 1})
    batch = hand.http.get(f"/job-take-batch/{hand.name}?batch_size=5").json()
    assert [(job["id"], job["input"]) for job in batch] == [(job_id, {"n": 1})]
    plane.cancel(job_id)


@pytest.mark.parametrize("size", ["", "many", "1.5", "0", "-1"])
def test_a_malformed_batch_size_is_a_400(plane: Emulation, hand: Hand, size: str) -> None:
    """The reply names the value, and the job stays in the queue."""
    job_id = plane.submit({"n": 1})
    reply = hand.http.get(f"/job-take-batch/{hand.name}?batch_size={size}")
    assert reply.status_code == 400
    assert reply.json() == {"error": f"batch_size must be a positive integer, got {size!r}."}
    assert plane.job(job_id)["state"] == "IN_QUEUE"
    plane.cancel(job_id)


def test_the_log_of_a_worker_that_the_emulator_did_not_start_is_a_404(
    plane: Emulation, hand: Hand
) -> None:
    """Whether it is unknown, or known only by its polls."""
    hand.take()
    for worker in ("unknown", hand.name):
        reply = httpx.get(f"{plane.url}/workers/{worker}/log")
        assert reply.status_code == 404
        assert "did not start" in reply.json()["error"]


def test_a_job_of_another_worker_is_not_found(hand: Hand) -> None:
    """Only who was given a job can send for it."""
    stranger = Hand(hand.plane, "stranger")
    assert stranger.send(hand.start(), "a").status_code == 404
    stranger.http.close()


FAULTS = [
    ({"fail": {"next": 1}, "fail_status": 502}, 502),
    ({"busy": {"next": 1}, "retry_after_s": 7}, 429),
    ({"max_bytes": 12}, 413),
]


@pytest.mark.parametrize(("fault", "status"), FAULTS)
@pytest.mark.parametrize("route", ["stream", "done"])
def test_a_refused_post_counts_for_nothing(
    plane: Emulation, hand: Hand, route: str, fault: dict[str, Any], status: int
) -> None:
    """On both routes; it is on record, and can be sent again."""
    job_id = hand.start()
    plane.set_faults(**{route: fault})
    post = hand.send if route == "stream" else hand.report
    body = "words" if route == "stream" else {"output": ["words"]}
    reply = post(job_id, body)
    assert reply.status_code == status
    assert reply.headers.get("Retry-After") == ("7" if status == 429 else None)
    plane.set_faults()
    assert post(job_id, body).status_code == 200
    job = plane.job(job_id)
    assert refused(job) == [(route, status)]
    assert (streamed(job) or job["output"]) == ["words"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [({"fail": {"next": 1}}, 503), ({"busy": {"next": 1}, "retry_after_s": 2}, 429)],
)
def test_a_refused_take_leaves_the_job_in_the_queue(
    plane: Emulation, hand: Hand, fault: dict[str, Any], status: int
) -> None:
    """The next poll gets it."""
    job_id = plane.submit(None)
    plane.set_faults(take=fault)
    assert hand.take().status_code == status
    assert plane.job(job_id)["state"] == "IN_QUEUE"
    assert hand.take().json()["id"] == job_id


def test_a_dropped_take_leaves_the_job_in_the_queue(plane: Emulation, hand: Hand) -> None:
    """The connection closes without a reply."""
    job_id = plane.submit(None)
    plane.set_faults(take={"drop": {"next": 1}})
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        hand.take()
    assert hand.take().json()["id"] == job_id


@pytest.mark.parametrize("fault", ["drop", "lost_reply"])
def test_aiohttp_sees_a_dropped_connection(plane: Emulation, hand: Hand, fault: str) -> None:
    """ServerDisconnectedError, as the worker sees it; whether the chunk counts is the fault's."""
    job_id = hand.start()
    plane.set_faults(stream={fault: {"next": 1}})

    async def post() -> None:
        url = f"{plane.endpoint_url}/job-stream/{hand.name}/{job_id}"
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await session.post(url, json={"output": "a"})
            async with session.post(url, json={"output": "b"}) as reply:
                assert reply.status == 200

    asyncio.run(post())
    job = plane.job(job_id)
    assert streamed(job) == (["b"] if fault == "drop" else ["a", "b"])
    assert refused(job) == ([("stream", None)] if fault == "drop" else [])


def test_a_chunk_counts_once_for_each_key(plane: Emulation, hand: Hand) -> None:
    """A worker that never saw the reply sends it again, and no text is doubled."""
    job_id = hand.start()
    plane.set_faults(stream={"lost_reply": {"next": 2}}, done={"lost_reply": {"next": 1}})
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            hand.send(job_id, "a", key="1")
    assert hand.send(job_id, "a", key="1").status_code == 200
    assert hand.send(job_id, "b", key="2").status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        hand.report(job_id, {"output": ["a", "b"]}, key="done")
    assert hand.report(job_id, {"output": ["a", "b"]}, key="done").status_code == 200
    job = plane.job(job_id)
    assert streamed(job) == job["output"] == ["a", "b"]
    assert [event["kind"] for event in job["events"]].count("repeated") == 3


def test_a_refused_chunks_key_is_free(plane: Emulation, hand: Hand) -> None:
    """Only what counts is remembered."""
    job_id = hand.start()
    plane.set_faults(stream={"fail": {"next": 1}})
    assert hand.send(job_id, "a", key="1").status_code == 503
    assert hand.send(job_id, "a", key="1").status_code == 200
    assert streamed(plane.job(job_id)) == ["a"]


def test_without_keys_a_lost_reply_doubles_the_text(plane: Emulation, hand: Hand) -> None:
    """Where the worker sends none, and where the fault says that they are forgotten."""
    plane.set_faults(forget_keys=True)
    job_id = hand.start()
    for _ in range(2):
        hand.send(job_id, "a", key="1")
    plane.set_faults()
    hand.send(job_id, "b")
    hand.send(job_id, "b")
    assert streamed(plane.job(job_id)) == ["a", "a", "b", "b"]


def test_a_lost_replys_rate_does_not_catch_one_chunk_for_ever(plane: Emulation, hand: Hand) -> None:
    """The fate of a POST hangs on its number, and a repeated one has another."""
    plane.set_faults(stream={"lost_reply": {"rate": 0.7}})
    job_id = hand.start()
    for number in range(10):
        for _ in range(100):
            try:
                hand.send(job_id, number, key=str(number))
            except httpx.RemoteProtocolError:
                continue
            break
    assert streamed(plane.job(job_id)) == list(range(10))


def test_a_chunk_has_one_megabyte_at_most(hand: Hand) -> None:
    """Counted in bytes of the body."""
    job_id = hand.start()
    room = 1_000_000 - len('{"output":""}')
    assert hand.send(job_id, "x" * room).status_code == 200
    assert hand.send(job_id, "x" * (room + 1)).status_code == 413


def test_a_job_of_any_depth_passes_through(hand: Hand) -> None:
    """Whether a worker can read it is the worker's affair."""
    nested = "[" * 5000 + "]" * 5000
    job_id = hand.http.post("/run", content=f'{{"input": {nested}}}').json()["id"]
    assert nested in hand.take().text
    hand.http.post(f"/job-stream/{hand.name}/{job_id}", content=f'{{"output": {nested}}}')
    assert nested in hand.http.get(f"/stream/{job_id}").text


def test_half_a_character_passes_through(hand: Hand) -> None:
    """JSON can name a surrogate without its partner, and UTF-8 cannot."""
    job_id = hand.start()
    half = '{"output": "\\ud83d"}'
    hand.http.post(f"/job-done/{hand.name}/{job_id}", content=half)
    assert half[1:-1] in hand.http.get(f"/status/{job_id}").text


def test_progress_shows_in_the_status(hand: Hand) -> None:
    """Until the result comes."""
    job_id = hand.start()
    hand.report(job_id, {"status": "IN_PROGRESS", "output": "half"})
    assert hand.http.get(f"/status/{job_id}").json()["output"] == "half"
    hand.report(job_id, {"output": "all"})
    assert hand.http.get(f"/status/{job_id}").json()["output"] == "all"


def test_a_stop_poll_tells_of_a_cancelled_job(plane: Emulation, hand: Hand) -> None:
    """Once; the next poll ends empty."""
    job_id = hand.start()
    plane.cancel(job_id)
    assert hand.http.get(f"/job-stop/{hand.name}").json() == {"jobsToStop": [job_id]}
    assert hand.http.get(f"/job-stop/{hand.name}").status_code == 204


def test_a_duplicate_comes_with_the_next_poll(plane: Emulation, hand: Hand) -> None:
    """The same id, a second time."""
    plane.set_faults(duplicate={"next": 1})
    job_id = hand.start()
    assert hand.take().json()["id"] == job_id
    assert [attempt["duplicate"] for attempt in plane.job(job_id)["attempts"]] == [False, True]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"no": "input"}', b'{"input": 1, "policy": 5}']
)
def test_a_submission_that_is_none_is_refused(hand: Hand, body: bytes) -> None:
    """400, with a reason."""
    reply = hand.http.post("/run", content=body)
    assert reply.status_code == 400
    assert reply.json()["error"]


@pytest.mark.parametrize(("way", "limit"), [("/run", 10_000_000), ("/runsync", 20_000_000)])
def test_a_submission_that_is_too_large_is_refused(hand: Hand, way: str, limit: int) -> None:
    """10 MB for /run, 20 MB for /runsync."""
    assert hand.http.post(way, content=b"x" * (limit + 1)).status_code == 413

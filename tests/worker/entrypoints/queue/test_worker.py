"""The queue worker end to end: handler.py, RunPod's SDK, the real engine, and the emulator.

Each is a process of its own, as on the platform. The engine is booted once for all that do not end
their worker; what the demo model answers to `SUM` at temperature 0 is always the same.
"""

import itertools
import json
import random
import re
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import httpx
import psutil
import pytest

from tests.support import DEMO
from tests.support.emulation import Emulation, emulation, eventually, refused, streamed

pytestmark = pytest.mark.workers

HANDLER = (sys.executable, "handler.py")
SUM = [{"role": "user", "content": "What is 2+2?"}]
COUNT = [{"role": "user", "content": "Count to one hundred"}]
CHAT = {"messages": SUM, "temperature": 0, "stream": True}
LONG = {"messages": COUNT, "temperature": 0, "stream": True}


def events(body: dict[str, Any]) -> dict[str, Any]:
    """The job input that the OpenAI-compatible URL makes of a request."""
    return {"openai_route": "/v1/chat/completions", "openai_input": body}


def told(outputs: list[Any]) -> str:
    """The reasoning and the content that a streamed job's outputs show, put together."""
    chunks: list[Any] = []
    for output in outputs:
        if isinstance(output, str):
            lines = [line.removeprefix("data: ") for line in output.split("\n\n")[:-1]]
            chunks += [json.loads(line) for line in lines if line != "[DONE]"]
        else:
            chunks.append(output)
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join((d.get("reasoning") or "") + (d.get("content") or "") for d in deltas)


@pytest.fixture(scope="module")
def plane() -> Iterator[Emulation]:
    """The emulator with one worker, which is shared: no test leaves a fault or a job behind."""
    with emulation(1, HANDLER, PING_LIMIT_S="3600", **DEMO) as running:
        running.ready(1, within=180)
        yield running


@pytest.fixture(autouse=True)
def no_faults(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "plane" in request.fixturenames:
        request.getfixturevalue("plane").set_faults()


@pytest.fixture(scope="module")
def expected(plane: Emulation) -> str:
    """What the demo model says to `SUM`."""
    return told(plane.ended(plane.submit(CHAT), 60)["output"])


def test_every_form_of_job_is_answered(plane: Emulation, expected: str) -> None:
    """Streamed as events, as chunks, and whole; the models; text; an error in each."""
    assert "4" in expected
    as_events = plane.ended(plane.submit(events(CHAT)))
    assert streamed(as_events) == as_events["output"]
    assert as_events["output"][-1].endswith("data: [DONE]\n\n")
    assert told(as_events["output"]) == expected
    (whole,) = plane.ended(plane.submit(events({**CHAT, "stream": False})))["output"]
    assert whole["choices"][0]["message"]["content"] in expected
    (models,) = plane.ended(plane.submit({"openai_route": "/v1/models"}))["output"]
    assert models["data"][0]["id"] == "demo"
    failed = plane.ended(plane.submit(events({"messages": 5, "stream": True})))
    assert failed["state"] == "FAILED"
    assert json.loads(failed["error"])["param"] == "messages"
    assert streamed(failed)[0].startswith('data: {"error"')


@pytest.mark.parametrize("job_input", [None, 5, "text", [], {}, {"openai_route": 7}])
def test_whatever_a_job_holds_it_is_answered(plane: Emulation, job_input: Any) -> None:
    """By an error object."""
    job = plane.ended(plane.submit(job_input))
    assert json.loads(job["error"])["type"] == "invalid_request_error"


def test_a_job_nested_thousands_of_levels_deep_fails_alone(plane: Emulation, expected: str) -> None:
    """The rest of its batch is answered."""
    deep = '{"messages":' * 2500 + "1" + "}" * 2500
    body = f'{{"input": {deep}}}'
    answer = httpx.post(f"{plane.endpoint_url}/run", content=body, timeout=30)
    beside = plane.submit(CHAT)
    assert told(plane.ended(beside)["output"]) == expected
    status = f"{plane.endpoint_url}/status/{answer.json()['id']}"  # which does not show the input
    job = eventually(lambda: (now := httpx.get(status).json())["status"] == "FAILED" and now)
    assert "nested more than 100 levels" in job["error"]


def test_64_streams_run_at_once(plane: Emulation, expected: str) -> None:
    """Each complete, each the same."""
    ids = [plane.submit(events(CHAT)) for _ in range(64)]
    jobs = [plane.ended(i, 120) for i in ids]
    assert {told(job["output"]) for job in jobs} == {expected}
    began = max(job["attempts"][0]["chunks"][0]["monotonic"] for job in jobs)
    assert sum(job["attempts"][0]["chunks"][-1]["monotonic"] > began for job in jobs) > 1


def test_a_slow_platform_gets_fewer_and_larger_chunks(plane: Emulation, expected: str) -> None:
    """One POST at a time; what is made meanwhile goes with the next."""
    plane.set_faults(stream={"latency_ms": 200})
    job = plane.ended(plane.submit(CHAT))
    assert told(streamed(job)) == expected
    receipts = [chunk["monotonic"] for chunk in job["attempts"][0]["chunks"]]
    assert len(receipts) < 15
    gaps = [after - before for before, after in itertools.pairwise(receipts)]
    # Its timers may fire early by the clock's resolution, which is a millisecond on some machines.
    assert all(gap > 0.19 for gap in gaps)


FAULTS: dict[str, dict[str, Any]] = {
    "503": {"stream": {"fail": {"rate": 0.3, "next": 2}}},
    "429": {"stream": {"busy": {"rate": 0.1, "next": 2}, "retry_after_s": 0}},
    "413": {"stream": {"max_bytes": 420, "latency_ms": 100}},
    "dropped": {"stream": {"drop": {"rate": 0.3, "next": 2}}},
    "replies": {"stream": {"lost_reply": {"rate": 0.3}}, "done": {"lost_reply": {"rate": 0.3}}},
    "results": {"done": {"fail": {"rate": 0.3, "next": 1}, "drop": {"rate": 0.3, "next": 1}}},
    "takes": {"take": {"fail": {"next": 2}, "drop": {"next": 2}}},
    "twice": {"duplicate": {"rate": 1}},
    "pings": {"miss_pings": True},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_stream_has_a_hole(plane: Emulation, expected: str, fault: str) -> None:
    """Under each fault, what was streamed is complete and exact, and so is the result."""
    plane.set_faults(seed=3, **FAULTS[fault])
    jobs = [plane.ended(plane.submit(events(CHAT)), 60) for _ in range(4)]
    for job in jobs:
        assert job["state"] == "COMPLETED"
        assert told(streamed(job)) == expected
        assert streamed(job) == job["output"]
    if fault in ("503", "429", "413", "dropped", "results"):
        assert any(refused(job) for job in jobs)


def test_a_job_that_comes_again_after_its_end_is_not_streamed_again(
    plane: Emulation, expected: str
) -> None:
    """It is reported again. All polls fail but the one that is open when the job is submitted."""
    plane.ended(plane.submit(CHAT))  # the poll after it is open
    plane.set_faults(duplicate={"next": 1}, take={"fail": {"rate": 1}})
    job_id = plane.ended(plane.submit(events(CHAT)))["id"]
    plane.set_faults()
    after = eventually(lambda: since_its_end(plane.job(job_id)))
    assert after == ["completed", "duplicate", "ignored result"]
    job = plane.job(job_id)
    assert told(streamed(job)) == expected
    assert [len(attempt["chunks"]) for attempt in job["attempts"] if attempt["duplicate"]] == [0]


def since_its_end(job: dict[str, Any]) -> list[str] | None:
    """What happened to a job from its end on, once a second result has come."""
    kinds = [event["kind"] for event in job["events"]]
    return kinds[kinds.index("completed") :] if "ignored result" in kinds else None


@pytest.mark.timeout(900)
def test_500_jobs_under_all_faults_at_random(
    plane: Emulation, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each ends complete and exact, or failed with its reason; none lost, none with a hole."""
    rng, ids = random.Random(5), list[str]()  # noqa: S311 - repeatable, not secret
    for batch in range(10):
        plane.set_faults(seed=batch, **random_faults(rng))
        mine = [plane.submit(rng.choice((events(CHAT), CHAT))) for _ in range(50)]
        for job_id in mine:
            plane.ended(job_id, 120)
        ids += mine
    jobs = [plane.job(job_id) for job_id in ids]
    exact = [j for j in jobs if j["state"] == "COMPLETED" and told(streamed(j)) == expected]
    failed = [j for j in jobs if j["state"] == "FAILED" and json.loads(j["error"])["message"]]
    others = [j for j in jobs if j not in exact and j not in failed]
    with capsys.disabled():
        refusals = sum(len(refused(job)) for job in jobs)
        print(
            f"\n{len(jobs)} jobs, {len(exact)} exact, {len(failed)} failed with a reason, "
            f"{refusals} POSTs refused or dropped",
            file=sys.stderr,
        )
    assert not others, json.dumps(others[0], indent=1)
    assert len(exact) > 450


def random_faults(rng: random.Random) -> dict[str, Any]:
    """Several faults at once."""
    trouble = {
        "fail": {"rate": rng.choice((0, 0.1))},
        "busy": {"rate": rng.choice((0, 0.1))},
        "drop": {"rate": rng.choice((0, 0.1))},
        "lost_reply": {"rate": rng.choice((0, 0.1))},
        "retry_after_s": 0,
    }
    return {
        "stream": {**trouble, "latency_ms": rng.choice((0, 20)), "max_bytes": 5000},
        "done": trouble,
        "take": {"fail": {"rate": 0.05}},
        "duplicate": {"rate": rng.choice((0, 0.2))},
        "miss_pings": rng.random() < 0.3,
    }


def test_a_cancel_at_any_moment_stops_its_job_alone(
    plane: Emulation, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twenty random moments; nothing more comes of the job, and others go on."""
    rng = random.Random(7)  # noqa: S311 - repeatable, not secret
    plane.set_faults(stream={"latency_ms": 20})
    beside = plane.submit(events(LONG))
    (worker_id,) = plane.ready()
    cancelled = dict[str, float]()
    for _ in range(20):
        job_id = plane.submit(events(LONG))
        time.sleep(rng.uniform(0, 0.8))
        plane.cancel(job_id)
        job = plane.in_state(job_id, "CANCELLED")
        if job["worker"]:
            cancelled[job_id] = job["ended"]["wall"]
            eventually(partial(has_stopped, plane, worker_id, job_id))
        time.sleep(0.2)  # a POST may have been under way
        count = plane.job(job_id)["chunks"]
        time.sleep(0.2)
        assert plane.job(job_id)["chunks"] == count
    late = [stopped - cancelled[i] for i, stopped in stops(plane.log(worker_id)) if i in cancelled]
    with capsys.disabled():
        print(
            f"\n{len(late)} cancels: stopped {max(late) * 1000:.0f} ms later at most",
            file=sys.stderr,
        )
    assert len(late) == len(cancelled)
    assert plane.ended(beside, 60)["state"] == "COMPLETED"
    assert told(plane.ended(plane.submit(CHAT))["output"]) == expected


def test_a_job_that_is_cancelled_on_its_way_to_the_worker_does_not_run(plane: Emulation) -> None:
    """Its stop comes before the job does, in the answer to another poll."""
    (worker_id,) = plane.ready()
    plane.set_faults(take={"latency_ms": 1000})
    job_id = plane.submit(events(LONG))
    plane.in_state(job_id, "IN_PROGRESS")
    plane.cancel(job_id)
    eventually(partial(has_stopped, plane, worker_id, job_id))
    time.sleep(1)
    assert plane.job(job_id)["chunks"] == 0


def test_a_job_that_timed_out_can_be_retried_at_once(plane: Emulation, expected: str) -> None:
    """On the same worker, which has just been told to stop it."""
    plane.set_faults(stream={"latency_ms": 10_000})
    body = {"input": events(CHAT), "policy": {"executionTimeout": 5000}}
    job_id = httpx.post(f"{plane.endpoint_url}/run", json=body, timeout=30).json()["id"]
    plane.in_state(job_id, "TIMED_OUT")
    plane.set_faults()
    assert httpx.post(f"{plane.endpoint_url}/retry/{job_id}", timeout=30).status_code == 200
    assert told(plane.ended(job_id, 60)["output"]) == expected


def has_stopped(plane: Emulation, worker_id: str, job_id: str) -> bool:
    return any(stopped == job_id for stopped, _ in stops(plane.log(worker_id)))


def stops(log: list[str]) -> Iterator[tuple[str, float]]:
    """The jobs that the worker's log says it stopped, and when (seconds since the epoch)."""
    for line in log:
        if found := re.match(r"(.{23}) INFO .*: job (\S+): stopped$", line):
            moment = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S,%f")  # noqa: DTZ007 - local time
            yield found[2], moment.timestamp()


def test_the_ping_process_is_started_anew(plane: Emulation, expected: str) -> None:
    """Without pings RunPod would take the worker for dead."""
    (worker_id,) = plane.ready()
    main = psutil.Process(plane.worker(worker_id)["pid"])
    pings = plane.worker(worker_id)["pings"]
    (ping,) = [child for child in main.children() if is_ping(child)]
    ping.kill()
    again = eventually(lambda: [c for c in main.children() if is_ping(c) and c.pid != ping.pid])
    assert len(again) == 1
    assert eventually(lambda: plane.worker(worker_id)["pings"] > pings + 2)
    assert told(plane.ended(plane.submit(CHAT))["output"]) == expected


def is_ping(process: psutil.Process) -> bool:
    """The SDK's ping process is the one that was spawned and holds no model."""
    if process.status() == psutil.STATUS_ZOMBIE:
        return False
    return "spawn_main" in " ".join(process.cmdline()) and process.memory_info().rss < 150 * 2**20

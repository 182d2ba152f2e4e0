"""A long day in short: two thousand jobs, a tenth of them cancelled, on one worker."""

import random
import sys

import psutil
import pytest

from tests.support import DEMO
from tests.support.emulation import Emulation, emulation
from tests.worker.entrypoints.queue.test_worker import CHAT, HANDLER, events, told

pytestmark = pytest.mark.workers

JOBS = 2000
AT_ONCE = 100


def memory(pid: int) -> int:
    """Bytes of the worker's processes that are theirs alone."""
    main = psutil.Process(pid)
    return sum(p.memory_full_info().uss for p in (main, *main.children(recursive=True)))


def run(plane: Emulation, count: int, rng: random.Random) -> list[str]:
    """The states in which so many short jobs end."""
    states = list[str]()
    for _ in range(count // AT_ONCE):
        ids = list[str]()
        for _ in range(AT_ONCE):
            ids.append(plane.submit(events({**CHAT, "max_tokens": 16})))
            if rng.random() < 0.1:
                plane.cancel(ids[-1])
        states += [plane.ended(job_id, 120)["state"] for job_id in ids]
    return states


@pytest.mark.timeout(1200)
def test_memory_stays_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """It grows by less than 5 % over the second half, and the worker still answers."""
    rng = random.Random(3)  # noqa: S311 - repeatable, not secret
    with emulation(1, HANDLER, PING_LIMIT_S="3600", **DEMO) as plane:
        (worker_id,) = plane.ready(1, 180)
        pid = plane.worker(worker_id)["pid"]
        states = run(plane, JOBS // 2, rng)
        middle = memory(pid)
        states += run(plane, JOBS // 2, rng)
        end = memory(pid)
        assert "4" in told(plane.ended(plane.submit(CHAT), 60)["output"])
    with capsys.disabled():
        print(
            f"\n{len(states)} jobs, {states.count('CANCELLED')} cancelled; memory after half "
            f"{middle / 2**20:.0f} MiB, at the end {end / 2**20:.0f} MiB ({end / middle:.3f})",
            file=sys.stderr,
        )
    assert set(states) == {"COMPLETED", "CANCELLED"}
    assert states.count("CANCELLED") > JOBS / 20
    assert end < 1.05 * middle

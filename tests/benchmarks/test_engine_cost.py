"""The benchmark of CPU per token: what it counts, and what it reports."""

import asyncio
import os
import subprocess
import sys
import time

import pytest

from benchmarks.engine_cost import BASELINE, LENGTH, Cost, Side, cost, cpu_of, figures_of


def test_the_cpu_time_of_this_process() -> None:
    """It is the same clock as Python's own."""
    before = time.process_time()
    measured = cpu_of([os.getpid()])
    assert before <= measured <= time.process_time()


def test_the_cpu_time_of_another_process() -> None:
    """Only that of the processes asked for, added up."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        total = cpu_of([child.pid, os.getpid()])
        assert total >= cpu_of([child.pid])
        assert cpu_of([]) == 0.0


def test_a_process_that_has_died_has_no_cpu_time() -> None:
    """The benchmark ends, instead of counting it as idle."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    with pytest.raises(OSError, match="Invalid argument"):
        cpu_of([child.pid])


@pytest.mark.parametrize(("streams", "requests"), [(1, 10), (16, 1), (4, 3)])
def test_a_round_makes_all_its_requests(streams: int, requests: int) -> None:
    """Each of the concurrent streams makes its own, one after another."""
    running, most, made = 0, 0, 0

    async def stream() -> int:
        nonlocal running, most, made
        running, made = running + 1, made + 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return LENGTH

    asyncio.run(cost(Side(stream, []), streams, requests))
    assert (made, most) == (streams * requests, streams)


def test_an_answer_of_another_length_ends_the_benchmark() -> None:
    """Its tokens would be counted wrong."""

    async def stream() -> int:
        return LENGTH - 1

    with pytest.raises(AssertionError):
        asyncio.run(cost(Side(stream, []), streams=1, requests=1))


def test_what_a_side_adds_is_compared_round_by_round() -> None:
    """The baseline adds nothing to itself."""
    measured = {
        BASELINE: [Cost(10.0, 5.0, 4000.0), Cost(20.0, 5.0, 4000.0)],
        "worker": [Cost(13.0, 0.0, 4000.0), Cost(24.0, 0.0, 4000.0)],
    }
    added = {each.side: each.values for each in figures_of(measured, 16) if each.name == "added"}
    assert added == {BASELINE: [0.0, 0.0], "worker": [3.0, 4.0]}

"""The real engine alone: what it does beyond the contract, and how it ends."""

import asyncio
import os
import signal
import sys
import time
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import RealWorker
from worker.api.chat import render_prompt
from worker.engine import Health, Sampling, SglangEngine, Step, server_args
from worker.engine.sglang_results import aborted
from worker.errors import BadRequest, EngineDead, EngineOverloaded, GrammarRejected, ServerError
from worker.model import Model, resolve
from worker.settings import Settings

COUNT = render_prompt({"messages": [{"role": "user", "content": "Count to one hundred"}]})
LONG = Sampling(max_tokens=5000, temperature=0.0)


def test_the_arguments_are_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """RadixAttention stays on; ENGINE_ARGS wins over all."""
    model = Model(path="/models/x", names=("x",), context_length=4096)
    settings = Settings(
        max_running_requests=7,
        mem_fraction_static=0.5,
        chunked_prefill=False,
        tensor_parallel_size=2,
        engine_args={"max_running_requests": 3, "page_size": 16},
    )
    arguments = server_args(settings, model)
    assert arguments["model_path"] == "/models/x"
    assert arguments["context_length"] == 4096
    assert arguments["mem_fraction_static"] == 0.5
    assert arguments["tp_size"] == 2
    assert arguments["chunked_prefill_size"] == -1
    assert arguments["max_running_requests"] == 3
    assert arguments["page_size"] == 16
    assert arguments["enable_cache_report"] is True
    assert "disable_radix_cache" not in arguments
    assert "max_queued_requests" not in arguments


def test_tensor_parallelism_follows_the_visible_gpus() -> None:
    """Without a GPU, one rank."""
    model = Model(path="x", names=("x",), context_length=1)
    assert server_args(Settings(), model)["tp_size"] == 1


def running(engine: SglangEngine) -> list[str]:
    """The requests that SGLang still knows."""
    return list(engine._engine.tokenizer_manager.rid_to_state)


async def until_idle(engine: SglangEngine) -> float:
    """Seconds until no request is left in the engine."""
    started = time.monotonic()
    while running(engine):
        assert time.monotonic() - started < 30
        await asyncio.sleep(0.005)
    return time.monotonic() - started


def test_leaving_frees_the_engine(real: RealWorker) -> None:
    """The generation ends in the scheduler, not only here."""

    async def leave() -> float:
        async with aclosing(real.engine.generate(COUNT, LONG, "leave")) as steps:
            await anext(steps)
        return await until_idle(real.engine)

    assert real.run(leave()) < 2


def test_what_a_busy_client_could_not_take_comes_as_one_step(real: RealWorker) -> None:
    """With all its tokens, and their log probabilities."""
    sampling = replace(LONG, max_tokens=40, top_logprobs=2)

    async def taken(rid: str, *, busy: bool) -> list[Step]:
        steps: list[Step] = []
        async with aclosing(real.engine.generate(COUNT, sampling, rid)) as generated:
            async for step in generated:
                steps.append(step)
                if busy:
                    await until_idle(real.engine)
        return steps

    ids = [token for step in real.run(taken("free", busy=False)) for token in step.ids]
    first, rest = real.run(taken("busy", busy=True))
    assert [*first.ids, *rest.ids] == ids
    assert [entry.id for entry in rest.logprobs] == list(rest.ids)
    assert all(len(entry.top) == 2 for entry in rest.logprobs)
    assert (rest.finish_reason, rest.completion_tokens) == ("length", 40)


def test_a_second_loop_is_refused_while_the_first_lives(real: RealWorker) -> None:
    """Its tokens would go to the first one."""

    async def from_elsewhere() -> None:
        await anext(real.engine.generate([1], LONG, "elsewhere"))

    with pytest.raises(RuntimeError, match="attached to another event loop"):
        asyncio.run(from_elsewhere())


def test_it_leaves_the_signals_alone(real: RealWorker) -> None:
    """SIGTERM belongs to whoever drains the worker."""
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_seed_without_an_effect_is_refused(real: RealWorker) -> None:
    """Nothing is silently ignored; at temperature 0 there is nothing to seed."""

    async def seeded(temperature: float) -> None:
        sampling = Sampling(max_tokens=2, temperature=temperature, seed=1)
        async with aclosing(real.engine.generate([1], sampling, f"seed-{temperature}")) as steps:
            async for _ in steps:
                pass

    real.run(seeded(0.0))
    with pytest.raises(BadRequest) as caught:
        real.run(seeded(1.0))
    assert caught.value.param == "seed"


@pytest.mark.parametrize(
    ("finish", "error"),
    [
        ({"type": "abort", "status_code": 400, "message": "bad grammar"}, GrammarRejected),
        ({"type": "abort", "status_code": 400, "message": "bad"}, BadRequest),
        ({"type": "abort", "status_code": 503, "message": "queue full"}, EngineOverloaded),
        ({"type": "abort", "status_code": 500, "message": "/a/path CUDA"}, ServerError),
    ],
)
def test_an_abort_that_no_one_asked_for_is_an_error(
    finish: dict[str, Any], error: type[Exception]
) -> None:
    """By SGLang's status; the message of a failure of its own is not shown."""
    with pytest.raises(error) as caught:
        aborted(finish)
    assert "/a/path" not in str(caught.value)


def test_an_engine_that_cannot_boot_is_an_error(tmp_path: Path) -> None:
    """Not the end of the process without a word."""

    async def boot() -> SglangEngine:
        engine = SglangEngine({"model_path": str(tmp_path), "log_level": "critical"})
        with pytest.raises(ServerError, match="failed to start"):
            await engine.start()
        return engine

    engine = asyncio.run(boot())
    assert engine.health() is Health.DEAD


@pytest.mark.workers
@pytest.mark.parametrize("direct", [True, False], ids=["direct", "with a detokenizer"])
def test_a_dead_process_fails_what_runs_and_is_noticed_at_once(
    direct: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """On whichever loop: RunPod's SDK has one for its checks, another for its jobs.

    Closing leaves no process behind.
    """
    settings = Settings(model="demo", log_level="error")
    engine = SglangEngine(server_args(settings, resolve(settings)), direct=direct)

    async def generate(rid: str, begun: asyncio.Event) -> None:
        async with aclosing(engine.generate(COUNT, LONG, rid)) as steps:
            async for _ in steps:
                begun.set()

    async def live_and_die() -> float:
        begun = [asyncio.Event(), asyncio.Event()]
        tasks = [asyncio.create_task(generate(f"dies-{i}", b)) for i, b in enumerate(begun)]
        await asyncio.gather(*(event.wait() for event in begun))
        os.kill(engine._processes[0].pid, signal.SIGKILL)
        killed = time.monotonic()
        async with asyncio.timeout(30):  # not told, they would wait for ever
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(end) for end in ends] == [EngineDead, EngineDead]
        assert engine.health() is Health.DEAD
        with pytest.raises(EngineDead):
            await anext(engine.generate([1], LONG, "three"))
        processes = [process.pid for process in engine._processes]
        assert len(processes) == (1 if direct else 2)
        noticed = time.monotonic() - killed
        await engine.close()
        assert not any(psutil.pid_exists(pid) for pid in processes)
        return noticed

    assert engine.health() is Health.STARTING
    asyncio.run(engine.start())
    assert engine.health() is Health.READY
    noticed = asyncio.run(live_and_die())
    with capsys.disabled():
        print(f"\na dead scheduler: its requests failed after {noticed:.2f} s", file=sys.stderr)

"""The production engine: an SGLang Engine in this process.

Rules: `Any` stands for SGLang's types. All requests of an engine run on one event loop at a time.
Leaving `generate` early, in any way, aborts the generation. When a child process dies, the engine
reports it at once, fails the running requests and accepts no more.
"""

import asyncio
import gc
import logging
import signal
import threading
import time
from array import array
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from worker.engine.port import Capacity, Health, Load, WarmUpRequest
from worker.engine.processes import abort_requests, launch, shut_down
from worker.engine.sglang_arguments import ignore_sigquit, sampling_params
from worker.engine.sglang_results import steps_of
from worker.errors import BadRequest, EngineDead, GrammarRejected, ServerError
from worker.generation import Sampling, Step
from worker.harmony.vocabulary import STOP_IDS

log = logging.getLogger(__name__)


class SglangEngine:
    """SGLang 0.5.23, driven through `Engine.async_generate` on token ids.

    `direct`: whether token IDs come straight from SGLang's scheduler (`direct_manager.py`), or
    through its detokenizer and its tokenizer manager.
    """

    def __init__(self, arguments: Mapping[str, Any], *, direct: bool = True) -> None:
        self._arguments = dict(arguments)
        self._direct = direct
        self._engine: Any = None
        self._processes: list[Any] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._receiver: asyncio.Task[None] | None = None
        self._death: str | None = None
        self._warm_up_requests: Callable[[], Sequence[WarmUpRequest]] = tuple
        self._boot_seconds: dict[str, float] = {}  # empty until startup is complete

    def use_files(self, folder: Path) -> None:
        self._arguments["model_path"] = str(folder)

    def warm_up_with(self, requests: Callable[[], Sequence[WarmUpRequest]]) -> None:
        self._warm_up_requests = requests

    async def start(self) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGQUIT, ignore_sigquit)
        try:
            launched = await launch(self._arguments, self._warm_up_requests, direct=self._direct)
        except Exception as error:
            self._death = "the engine failed to start"
            log.exception("the engine failed to start")
            raise ServerError("The engine failed to start; see the worker's log.") from error
        self._engine = launched.engine
        manager = self._engine.tokenizer_manager
        watchdog = manager._subprocess_watchdog
        self._processes = list(watchdog._processes)
        watchdog.stop()  # It would send us SIGQUIT if one died; `_attach` monitors them instead.
        started = time.monotonic()
        await self._warm_up(launched.prepared)
        gc.collect()
        await manager.freeze_gc()  # startup objects live forever, so the collector can skip them
        self._boot_seconds = {**launched.phases, "warm_up": time.monotonic() - started}

    async def _warm_up(self, requests: Sequence[WarmUpRequest]) -> None:
        """Generates one token, then the warm-up's requests, all at once and once again: in the
        second round their prompts are in the prefix cache, which takes other kernels."""
        await self._discard([STOP_IDS[0]], Sampling(max_tokens=1, temperature=0.0), "warm-up")
        for turn in range(2):
            await asyncio.gather(
                *(
                    self._discard(prompt, sampling, f"warm-up-{turn}-{index}")
                    for index, (prompt, sampling) in enumerate(requests)
                )
            )

    async def _discard(self, prompt: Sequence[int], sampling: Sampling, rid: str) -> None:
        async with aclosing(self.generate(prompt, sampling, rid)) as steps:
            async for _ in steps:
                pass

    def _attach(self) -> None:
        """Makes the running event loop receive the engine's output and monitor its processes.

        SGLang would do this at the first request. But it would also handle SIGTERM and SIGQUIT,
        stay with that loop forever, and end the whole process on an error in its receiver.
        """
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        if self._loop is not None and not self._loop.is_closed():
            raise RuntimeError("the engine is attached to another event loop")
        manager = self._engine.tokenizer_manager
        manager.event_loop = self._loop = loop
        self._receiver = loop.create_task(manager.handle_loop())
        self._receiver.add_done_callback(self._on_receiver_done)
        for process in self._processes:
            loop.add_reader(process.sentinel, self._on_death, process)

    def _on_receiver_done(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()):
            log.error("the engine's receiver failed", exc_info=error)
            self._mark_dead("the engine's receiver failed")

    def _on_death(self, process: Any) -> None:
        self._stop_monitoring()
        process.join(1)  # the exit code is available shortly after the sentinel is readable
        self._mark_dead(f"an engine process died (exit code {process.exitcode})")

    def _mark_dead(self, reason: str) -> None:
        if self._death is None:
            log.error("%s", reason)
        self._death = reason
        abort_requests(self._engine)

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        self._check_alive()
        self._attach()
        finished = headers_rejected = False
        try:
            stream = await self._engine.async_generate(
                rid=rid, stream=True, **self._request(prompt_ids, sampling)
            )
            async with aclosing(stream if self._direct else steps_of(stream)) as steps:
                async for step in steps:
                    finished = step.finish_reason is not None
                    if step.finish_reason == "abort":
                        self._check_alive()  # else it was aborted by us
                    yield step
        except GrammarRejected:
            headers_rejected = sampling.headers_only
            if not headers_rejected:
                raise
        except ValueError as error:  # from SGLang's own validation
            raise BadRequest(str(error)) from error
        finally:
            if not finished:
                self.abort(rid)
        if headers_rejected:  # The client did not ask for this grammar: the answer must not fail.
            free = replace(sampling, structural_tag=None, headers_only=False)
            async with aclosing(self.generate(prompt_ids, free, rid)) as steps:
                async for step in steps:
                    yield step

    def _check_alive(self) -> None:
        if self._death is not None:
            raise EngineDead

    def _request(self, prompt_ids: Sequence[int], sampling: Sampling) -> dict[str, Any]:
        """SGLang's arguments for one request. Subclasses may add their own."""
        seeded = sampling.seed is not None and sampling.temperature > 0
        if seeded and not self._arguments.get("enable_deterministic_inference"):
            raise BadRequest(
                "seed requires temperature 0, or a worker with ENGINE_ARGS="
                """'{"enable_deterministic_inference": true}'.""",
                param="seed",
            )
        return {
            "input_ids": array("q", prompt_ids),  # as SGLang sends them
            "sampling_params": sampling_params(sampling),
            "return_logprob": sampling.top_logprobs is not None,
            "top_logprobs_num": sampling.top_logprobs or 0,
        }

    def abort(self, rid: str) -> None:
        if self._engine is not None and self._death is None:
            self._engine.tokenizer_manager.abort_request(rid)

    def health(self) -> Health:
        if self._death is not None:
            return Health.DEAD
        return Health.READY if self._boot_seconds else Health.STARTING

    def load(self) -> Load:
        if self._engine is None or self._death is not None:
            return Load(0, 0, 0.0, 0.0)
        of_ranks = self._engine.tokenizer_manager.load_snapshot_reader.read_all()
        return Load(
            running=sum(rank.num_running_reqs for rank in of_ranks),
            queued=sum(rank.num_waiting_reqs for rank in of_ranks),
            kv_usage=max((rank.token_usage for rank in of_ranks), default=0.0),
            prefix_hits=max((rank.cache_hit_rate for rank in of_ranks), default=0.0),
        )

    def capacity(self) -> Capacity:
        """SGLang takes prompts of up to 6 tokens less than the context, or than the KV cache if
        that is smaller (get_worker_info in its managers/tp_worker.py)."""
        if self._engine is None:
            return Capacity(0, 0)
        (first, *_) = self._engine._scheduler_init_result.scheduler_infos
        return Capacity(first["max_req_input_len"] + 6, first["max_total_num_tokens"])

    def boot_seconds(self) -> Mapping[str, float]:
        return self._boot_seconds

    async def close(self) -> None:
        self._stop_monitoring()
        if self._receiver is not None:
            self._receiver.cancel()
            self._receiver = None
        if self._engine is not None:
            engine, self._engine = self._engine, None
            self._death = self._death or "the engine was closed"
            await asyncio.to_thread(shut_down, engine, self._processes)
            gc.unfreeze()

    def _stop_monitoring(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            for process in self._processes:
                self._loop.remove_reader(process.sentinel)

"""A stand-in for SGLang's scheduler process: forced ids, at a set pace, over SGLang's own wire.

Theory: a GPU's scheduler makes thousands of tokens a second, and all of them pass through the
worker's main process. A CPU's scheduler makes hundreds, and takes the cores that the main process
needs. This one computes nothing, and sends what SGLang's would send: one message a step, with
one token of every running request (or, with `stream_interval`, several tokens of some). What
receives it cannot tell the difference, so the main process can be measured at a GPU's rates on a
machine without one.

It has no model, no prefix cache, no grammars and no log probabilities, and every request gets the
same ids. Stop tokens and stop strings of a request are ignored.

`Any` stands for SGLang's types. Source: `Scheduler` and `SchedulerOutputStreamer` of SGLang 0.5.23.
"""

import gc
import time
from array import array
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from worker.engine import scheduler

TITLE = "benchmarks::fake_scheduler"
"""The title of the process."""
CONTEXT = 131_072
CONTEXT_FOR_DETOKENIZER = 5
"""How many of the prompt's last ids come with a request's first token: text depends on what is
before it (INIT_INCREMENTAL_DETOKENIZATION_OFFSET in SGLang)."""
MAX_STEPS_BEHIND = 50
"""A scheduler that was held up sends at most so many steps at once to catch up."""

Finish = dict[str, Any]
"""SGLang's finish reason: its type, and what goes with it."""


class Forced(NamedTuple):
    """What is generated: `ids` for every request, `speed` tokens a second over all requests."""

    ids: Sequence[int]
    speed: float


@contextmanager
def in_place_of_sglangs(forced: Forced) -> Generator[None]:
    """Engines that are started in this context have the stand-in for their scheduler."""
    sglangs = scheduler.run_scheduler_process, scheduler.run_direct_scheduler_process
    fake = partial(run_fake_scheduler, forced=forced)
    scheduler.run_scheduler_process = partial(fake, direct=False)
    scheduler.run_direct_scheduler_process = partial(fake, direct=True)
    try:
        yield
    finally:
        scheduler.run_scheduler_process, scheduler.run_direct_scheduler_process = sglangs


class Generation:
    """A running request. `max_tokens`: after how many tokens it ends, unless its ids end before."""

    def __init__(self, prompt: Sequence[int], ids: Sequence[int], max_tokens: int) -> None:
        self.prompt_tokens = len(prompt)
        self.context = prompt[-CONTEXT_FOR_DETOKENIZER:]
        self.sent = 0
        self._ids = ids
        self._end = min(max_tokens, len(ids))
        self._aborted = False

    def abort(self) -> None:
        """The next step is the last one, without a token."""
        self._aborted = True

    def advance(self) -> tuple[list[int], Finish | None]:
        """The ids of the next step, and the finish reason if it is the last."""
        if self._aborted:
            return [], {"type": "abort", "message": "Aborted by its client"}
        token = self._ids[self.sent]
        self.sent += 1
        if self.sent < self._end:
            return [token], None
        if self.sent == len(self._ids):
            return [token], {"type": "stop", "matched": token}
        return [token], {"type": "length", "length": self.sent}


class Pace:
    """When steps are due, on the clock of `time.perf_counter`, to make `speed` tokens a second.

    Each step is due one interval after the one before it was due, not after it was made, so that
    late steps do not lower the speed.
    """

    def __init__(self, speed: float, now: float) -> None:
        self._speed = speed
        self._last = now

    def due(self, running: int) -> float:
        return self._last + running / self._speed

    def step(self, running: int, now: float) -> None:
        interval = running / self._speed
        self._last = max(self._last + interval, now - MAX_STEPS_BEHIND * interval)

    def start(self, now: float) -> None:
        """After a pause there is nothing to catch up with."""
        self._last = now


def run_fake_scheduler(
    server_args: Any,
    port_args: Any,
    gpu_id: int,
    *ranks_and_pipe: Any,
    forced: Forced,
    direct: bool,
) -> None:
    """The process. The positional arguments are those of SGLang's `run_scheduler_process`.

    `direct`: whether tokens go to the tokenizer manager in place of the detokenizer.
    """
    import setproctitle
    import zmq
    from sglang.srt.runtime_context import SpawnRanks, publish
    from sglang.srt.utils import kill_itself_when_parent_died
    from sglang.srt.utils.network import get_zmq_socket

    *_, pipe_writer = ranks_and_pipe
    setproctitle.setproctitle(TITLE)
    kill_itself_when_parent_died()
    publish(server_args, role="scheduler", ranks=SpawnRanks(world_rank=0, gpu_id=gpu_id))
    to = port_args.tokenizer_ipc_name if direct else port_args.detokenizer_ipc_name
    context = zmq.Context(2)
    requests: Any = get_zmq_socket(
        context, zmq.PULL, port_args.scheduler_input_ipc_name, bind=False
    )
    output: Any = get_zmq_socket(context, zmq.PUSH, to, bind=False)
    fake = FakeScheduler(forced, requests, output, server_args.stream_interval)
    pipe_writer.send(
        {
            "status": "ready",
            "max_total_num_tokens": 64 * CONTEXT,
            "max_req_input_len": CONTEXT - 6,
            "startup_time": None,
        }
    )
    fake.run()


class Running(NamedTuple):
    """SGLang's TokenizedGenerateReqInput, what it becomes, its SchedulerReqTimeStats, and the
    tokens that have not been sent."""

    request: Any
    generation: Generation
    time_stats: Any
    unsent: list[int]

    def advance(self, interval: int) -> tuple[list[int], Finish | None] | None:
        """What is sent after one more step: the first token at once, then `interval` at a time."""
        new, finish = self.generation.advance()
        self.unsent.extend(new)
        is_first = self.generation.sent == len(self.unsent)
        if finish is None and len(self.unsent) < interval and not is_first:
            return None
        ids = self.unsent.copy()
        self.unsent.clear()
        return ids, finish


class FakeScheduler:
    """Takes requests from one ZMQ socket (PULL), sends steps to another (PUSH)."""

    def __init__(self, forced: Forced, requests: Any, output: Any, interval: int = 1) -> None:
        import msgspec
        from sglang.srt.managers.io_struct import BatchTokenIDOutput

        self._requests = requests
        self._output = output
        self._forced = forced
        self._interval = interval
        self._running: dict[str, Running] = {}
        self._pace = Pace(forced.speed, time.perf_counter())
        fields = msgspec.structs.fields(BatchTokenIDOutput)  # takes longer than a step may
        self._unasked = {field.name: None for field in fields if field.required}

    def run(self) -> None:
        """Until the process is killed, which happens when its parent ends."""
        while True:
            self.turn()

    def turn(self) -> None:
        """Waits for requests if none is running, takes all that have arrived, makes one step."""
        if not self._running:
            self._requests.poll()
            self._pace.start(time.perf_counter())
        self._receive()
        if running := len(self._running):
            time.sleep(max(0.0, self._pace.due(running) - time.perf_counter()))
            self._step()
            self._pace.step(running, time.perf_counter())

    def _receive(self) -> None:
        """Takes all requests that have arrived."""
        import zmq
        from sglang.srt.managers.io_struct import sock_recv

        while True:
            try:
                message = sock_recv(self._requests, zmq.NOBLOCK)
            except zmq.Again:
                return
            self._take(message)

    def _take(self, message: Any) -> None:
        from sglang.srt.managers import io_struct as sglangs

        match message:
            case sglangs.TokenizedGenerateReqInput():
                self._begin(message)
            case sglangs.AbortReq():
                self._abort(message)
            case sglangs.FreezeGCReq():
                gc.collect()
                gc.freeze()
                sglangs.sock_send(self._output, message)
            case _:
                raise NotImplementedError(f"{type(message).__name__} in the stand-in scheduler")

    def _begin(self, request: Any) -> None:
        from sglang.srt.observability.req_time_stats import SchedulerReqTimeStats

        limit = request.sampling_params.max_new_tokens
        generation = Generation(list(request.input_ids), self._forced.ids, limit)
        self._running[request.rid] = Running(request, generation, SchedulerReqTimeStats(), [])

    def _abort(self, request: Any) -> None:
        """Like SGLang, takes the ID for a prefix: choices of one request share it."""
        for rid, running in self._running.items():
            if request.abort_all or rid.startswith(request.rid):
                running.generation.abort()

    def _step(self) -> None:
        from sglang.srt.managers.io_struct import sock_send

        advanced = {rid: each.advance(self._interval) for rid, each in self._running.items()}
        steps = {rid: step for rid, step in advanced.items() if step is not None}
        if steps:
            sock_send(self._output, self._message(steps))
        for rid, (_, finish) in steps.items():
            if finish is not None:
                del self._running[rid]

    def _message(self, steps: dict[str, tuple[list[int], Finish | None]]) -> Any:
        """SGLang's message of a step. What nobody asked for, such as log probabilities, is None."""
        from sglang.srt.managers.io_struct import BatchTokenIDOutput, wrap_as_pickle

        running = [self._running[rid] for rid in steps]
        generations = [each.generation for each in running]
        sampling = [each.request.sampling_params for each in running]
        ids = [array("q", ids) for ids, _ in steps.values()]
        count = len(steps)
        fields: dict[str, Any] = {
            **self._unasked,
            "rids": list(steps),
            "http_worker_ipcs": [each.request.http_worker_ipc for each in running],
            "finished_reasons": [finish for _, finish in steps.values()],
            "decoded_texts": [""] * count,
            "decode_ids": list(map(for_detokenizer, generations, ids)),
            "read_offsets": [len(each.context) for each in generations],
            "output_ids": ids,
            "skip_special_tokens": [each.skip_special_tokens for each in sampling],
            "spaces_between_special_tokens": [
                each.spaces_between_special_tokens for each in sampling
            ],
            "no_stop_trim": [each.no_stop_trim for each in sampling],
            "prompt_tokens": [each.prompt_tokens for each in generations],
            "completion_tokens": [each.sent for each in generations],
            "reasoning_tokens": [0] * count,
            "cached_tokens": [0] * count,
            "retraction_counts": [0] * count,
            "time_stats": wrap_as_pickle([each.time_stats for each in running]),
            "spec_verify_ct": [0] * count,
        }
        return BatchTokenIDOutput(**fields)


def for_detokenizer(generation: Generation, new: "array[int]") -> "array[int]":
    """The ids that SGLang's detokenizer gets: at first, those of the prompt's end as well."""
    is_first = generation.sent == len(new)
    return array("q", generation.context) + new if is_first else new

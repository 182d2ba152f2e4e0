"""The stand-in for SGLang's scheduler: what it generates, and when. Its wire is SGLang's own."""

import pickle
from array import array
from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from sglang.srt.managers import io_struct
from sglang.srt.sampling.sampling_params import SamplingParams

from benchmarks.fake_scheduler import (
    MAX_STEPS_BEHIND,
    FakeScheduler,
    Forced,
    Generation,
    Pace,
    Running,
    in_place_of_sglangs,
)
from worker.engine import scheduler


def generated(generation: Generation) -> tuple[list[int], str]:
    """All ids of a generation, and the type of its finish reason."""
    ids = list[int]()
    while True:
        new, finish = generation.advance()
        ids += new
        if finish is not None:
            return ids, finish["type"]


def test_all_ids_end_with_a_stop_token() -> None:
    """The last of the forced ids counts as the one that the model stopped at."""
    assert generated(Generation([1], [7, 8, 9], max_tokens=10)) == ([7, 8, 9], "stop")


def test_max_tokens_cuts_the_ids() -> None:
    assert generated(Generation([1], [7, 8, 9], max_tokens=2)) == ([7, 8], "length")


def test_a_limit_at_the_last_id_is_no_cut() -> None:
    """SGLang checks for stop tokens before it counts."""
    assert generated(Generation([1], [7, 8, 9], max_tokens=3)) == ([7, 8, 9], "stop")


def test_an_aborted_request_gets_no_further_token() -> None:
    generation = Generation([1], [7, 8, 9], max_tokens=10)
    generation.advance()
    generation.abort()
    assert generated(generation) == ([], "abort")


def test_with_an_interval_the_first_token_goes_at_once_and_the_rest_in_groups() -> None:
    """As `stream_interval` does in SGLang; what is left at the end goes with the finish reason."""
    running = Running(None, Generation([1], [7, 8, 9, 10, 11, 12], max_tokens=10), None, [])
    sent = [running.advance(2) for _ in range(6)]
    assert sent[:5] == [([7], None), None, ([8, 9], None), None, ([10, 11], None)]
    assert sent[5] == ([12], {"type": "stop", "matched": 12})


@given(st.integers(1, 256), st.floats(1, 1e5), st.integers(1, 100))
def test_late_steps_do_not_lower_the_speed(running: int, speed: float, steps: int) -> None:
    """`steps` steps, each a little late, are due when punctual ones would be."""
    pace = Pace(speed, 0.0)
    for _ in range(steps):
        pace.step(running, pace.due(running) + 0.5 * running / speed)
    assert pace.due(running) == pytest.approx((steps + 1) * running / speed)


def test_a_scheduler_that_was_held_up_does_not_catch_up_forever() -> None:
    """After an hour asleep there is no burst of an hour's tokens."""
    pace = Pace(100.0, 0.0)
    pace.step(1, 3600.0)
    assert pace.due(1) == pytest.approx(3600.0 - (MAX_STEPS_BEHIND - 1) / 100.0)


def test_only_engines_of_its_context_have_it() -> None:
    """It reaches the new process by pickle, as multiprocessing's spawn requires."""
    before = scheduler.run_scheduler_process, scheduler.run_direct_scheduler_process
    with in_place_of_sglangs(Forced([1], 1.0)):
        inside = scheduler.run_scheduler_process, scheduler.run_direct_scheduler_process
        assert all(pickled(each).keywords["forced"] == Forced([1], 1.0) for each in inside)
        assert not set(inside) & set(before)
    assert (scheduler.run_scheduler_process, scheduler.run_direct_scheduler_process) == before


class Ends:
    """The stand-in between two sockets of SGLang's: what it gets, and what it sends."""

    def __init__(self, forced: Forced) -> None:
        self._context = zmq.Context[zmq.Socket[bytes]]()
        self._requests, requests = self._pair("inproc://requests", zmq.PUSH, zmq.PULL)
        self._output, output = self._pair("inproc://output", zmq.PULL, zmq.PUSH)
        self._fake = FakeScheduler(forced, requests, output)

    def _pair(self, name: str, ours: int, its: int) -> tuple[Any, Any]:
        sockets = self._context.socket(ours), self._context.socket(its)
        sockets[0].bind(name)
        sockets[1].connect(name)
        return sockets

    def send(self, message: Any) -> None:
        io_struct.sock_send(self._requests, message)

    def step(self) -> Any:
        """The next message."""
        self._fake.turn()
        return io_struct.sock_recv(self._output)

    def close(self) -> None:
        self._context.destroy(linger=0)


@pytest.fixture
def ends() -> Iterator[Ends]:
    opened = Ends(Forced([7, 8, 9], 1000.0))
    yield opened
    opened.close()


def request(rid: str, prompt: list[int]) -> Any:
    """SGLang's message of a request."""
    return io_struct.TokenizedGenerateReqInput(
        rid=rid,
        input_text=None,
        input_ids=array("q", prompt),
        input_embeds=None,
        mm_inputs=None,
        token_type_ids=None,
        sampling_params=SamplingParams(max_new_tokens=10),
        return_logprob=False,
        logprob_start_len=-1,
        top_logprobs_num=0,
        token_ids_logprob=None,
        stream=True,
    )


def test_each_message_has_a_token_of_every_running_request(ends: Ends) -> None:
    """As SGLang's does, in the order in which they came."""
    ends.send(request("a", [1, 2]))
    first = ends.step()
    ends.send(request("b", [1, 2, 3]))
    messages = [first, *(ends.step() for _ in range(3))]
    assert [each.rids for each in messages] == [["a"], ["a", "b"], ["a", "b"], ["b"]]
    assert [each.prompt_tokens for each in messages] == [[2], [2, 3], [2, 3], [3]]


def test_a_request_over_the_wire(ends: Ends) -> None:
    """All its ids, one a message; the first also has the prompt's end, for the detokenizer."""
    ends.send(request("a", [1, 2, 3, 4, 5, 6]))
    first, second, last = ends.step(), ends.step(), ends.step()
    assert [list(each.output_ids[0]) for each in (first, second, last)] == [[7], [8], [9]]
    assert [list(each.decode_ids[0]) for each in (first, second)] == [[2, 3, 4, 5, 6, 7], [8]]
    assert [each.completion_tokens for each in (first, second, last)] == [[1], [2], [3]]
    assert [first.finished_reasons, last.finished_reasons] == [
        [None],
        [{"type": "stop", "matched": 9}],
    ]


def test_an_abort_over_the_wire(ends: Ends) -> None:
    """It ends the requests whose id begins so, and SGLang is told."""
    ends.send(request("a-0", [1]))
    ends.send(io_struct.AbortReq(rid="a"))
    assert ends.step().finished_reasons[0]["type"] == "abort"


def pickled(value: Any) -> Any:
    """What arrives in a spawned process."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - our own

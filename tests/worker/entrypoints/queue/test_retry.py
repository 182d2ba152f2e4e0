"""Delivery: what RunPod did not take is sent again, or its job is told."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from worker.entrypoints.queue.retry import Reply, TooLarge, Undeliverable, deliver


def posting(*replies: Reply | Exception) -> Callable[[], Awaitable[Reply]]:
    """A POST that meets these replies, one after the other, and the last for ever."""
    left = list(replies)

    async def post() -> Reply:
        reply = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    return post


OK = Reply(200, None)


@pytest.mark.parametrize(
    "trouble",
    [
        Reply(500, None),
        Reply(503, 0.01),
        Reply(429, 0.01),
        Reply(408, None),
        aiohttp.ServerDisconnectedError(),
        ConnectionResetError(),
        TimeoutError(),
    ],
)
def test_what_may_pass_is_tried_again(trouble: Reply | Exception) -> None:
    """Until it arrives."""
    assert asyncio.run(deliver(posting(trouble, trouble, trouble, OK))) == 4


def test_what_went_well_is_sent_once() -> None:
    """Nothing is sent twice without need."""
    assert asyncio.run(deliver(posting(OK))) == 1


def test_too_large_is_for_the_caller_to_split() -> None:
    """At once."""
    with pytest.raises(TooLarge):
        asyncio.run(deliver(posting(Reply(413, None))))


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_a_refusal_is_final(status: int) -> None:
    """The job fails with the status."""
    with pytest.raises(Undeliverable, match=f"status {status}"):
        asyncio.run(deliver(posting(Reply(status, None), OK)))


@pytest.mark.parametrize("trouble", [Reply(503, None), Reply(429, 60.0), OSError()])
def test_patience_ends(trouble: Reply | Exception) -> None:
    """Also where Retry-After asks for more than is left."""
    with pytest.raises(Undeliverable, match="could not be delivered"):
        asyncio.run(deliver(posting(trouble), timeout_seconds=0.2))


def test_retry_after_is_waited_for() -> None:
    """The server knows best: the first pause of our own would be 0.06 s at most."""
    loop_times: list[float] = []

    async def post() -> Reply:
        loop_times.append(asyncio.get_running_loop().time())
        return Reply(429, 0.3) if len(loop_times) == 1 else OK

    asyncio.run(deliver(post))
    # Timers may fire early by the clock's resolution, which is a millisecond on some machines.
    assert loop_times[1] - loop_times[0] > 0.29

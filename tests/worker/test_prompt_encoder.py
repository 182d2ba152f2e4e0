"""The prompt encoder: what is long and new is encoded beside the event loop, the rest on it."""

import asyncio

import pytest

from worker.harmony.texts import Piece, joined_anew
from worker.harmony.vocabulary import END, START
from worker.prompt_encoder import PromptEncoder

LONG: list[Piece] = [(START,), "user", "word " * 200_000, (END,)]
SHORT: list[Piece] = [(START,), "user", "Hi", (END,)]


async def done_at_once(encoder: PromptEncoder, pieces: list[Piece]) -> bool:
    """Whether the ids are there after one turn of the loop, so that no thread was waited for."""
    task = asyncio.create_task(encoder.ids(pieces))
    await asyncio.sleep(0)
    at_once = task.done()
    assert await task == joined_anew(pieces)
    return at_once


def test_a_long_new_text_does_not_hold_the_loop() -> None:
    """Other tasks run while it is encoded."""
    assert asyncio.run(done_at_once(PromptEncoder(), LONG)) is False


def test_a_short_text_does_not_wait_for_a_thread() -> None:
    """Its request is not delayed by long ones."""
    assert asyncio.run(done_at_once(PromptEncoder(), SHORT)) is True


@pytest.mark.parametrize("more", [[], SHORT])
def test_a_long_text_is_encoded_once(more: list[Piece]) -> None:
    """A turn costs its new texts alone."""

    async def two_turns() -> bool:
        encoder = PromptEncoder()
        await encoder.ids(LONG)
        again: list[Piece] = [(START,), "user", "word " * 200_000, (END,)]  # as parsed anew
        return await done_at_once(encoder, [*again, *more])

    assert asyncio.run(two_turns()) is True


def test_a_short_request_overtakes_long_ones() -> None:
    """However many are being encoded."""

    async def order() -> list[str]:
        encoder = PromptEncoder()
        done: list[str] = []

        async def one(name: str, pieces: list[Piece]) -> None:
            await encoder.ids(pieces)
            done.append(name)

        long = [one("long", [f"{at} " * 100_000]) for at in range(4)]
        await asyncio.gather(*long, one("short", SHORT))
        return done

    assert asyncio.run(order())[0] == "short"

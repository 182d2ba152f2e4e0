"""The queue's benchmark: when tokens came, and how late their chunks were."""

import asyncio
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.queue_lag import (
    LAG,
    OVER,
    SIDES,
    TOTAL,
    Answer,
    Chunk,
    Post,
    all_sides,
    answer_of,
    figures_of_round,
    first_tokens,
    lags,
    over_posts,
    posts_in,
    text_of,
)
from benchmarks.queue_workers import HEADER, TOKENS, WORD, WORDS, due, event, events, stamp

START = 1000.0
FULL = stamp(START) + WORD * WORDS


def answer(*chunks: tuple[float, str]) -> Answer:
    return Answer("a", START, chunks[-1][0], [Chunk(*chunk) for chunk in chunks])


def test_the_first_tokens_of_chunks() -> None:
    """The header's tokens came before the text; a chunk without text has no token."""
    chunks = [Chunk(0, text) for text in ("", stamp(START), WORD * 3, WORD, "")]
    came = [None, due(START, HEADER), due(START, HEADER + 1), due(START, HEADER + 4), None]
    assert list(first_tokens(chunks)) == came


@given(st.lists(st.integers(1, WORDS), unique=True))
def test_however_an_answer_is_cut_each_chunk_has_its_first_token(cuts: list[int]) -> None:
    """A chunk that begins with word n counts from when word n came."""
    bounds = [0, *sorted(cuts), WORDS]
    texts = [WORD * (end - begin) for begin, end in pairwise(bounds)]
    texts[0] = stamp(START) + texts[0]
    came = [at for at in first_tokens([Chunk(0, text) for text in texts]) if at is not None]
    words = [bound for bound in bounds[1:-1] if bound < WORDS]
    assert came == [due(START, HEADER), *(due(START, HEADER + 1 + word) for word in words)]


def test_lag_counts_from_the_first_token_of_a_chunk() -> None:
    """What ends a stream has no token, and so no lag."""
    late = answer(
        (due(START, HEADER) + 0.25, stamp(START)),
        (due(START, HEADER + 1) + 0.5, WORD * WORDS),
        (START + 9, ""),
    )
    assert lags(late) == pytest.approx([0.25, 0.5])


def test_a_chunk_is_late_over_its_post_from_when_it_could_be_sent() -> None:
    """The first once its token had come; the second once the first's POST was answered; the third's
    token came after that."""
    chunks = answer((0, stamp(START)), (0, WORD * 10), (0, WORD * 40), (0, ""))
    first, third = due(START, HEADER), due(START, HEADER + 11)
    posts = [
        Post(first + 0.001, first + 0.03),
        Post(first + 0.032, first + 0.04),
        Post(third + 0.003, third + 0.01),
        Post(third + 5, third + 6),
    ]
    assert over_posts(chunks, posts) == pytest.approx([0.001, 0.002, 0.003])


def test_the_posts_of_a_job_are_those_of_its_chunks() -> None:
    """A POST that is missing or extra would shift all lags."""
    with pytest.raises(ValueError, match="shorter"):
        over_posts(answer((0, stamp(START)), (0, WORD * WORDS)), [Post(1, 2)])


def test_the_log_of_posts(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a 1.0 2.0\nb 1.5 2.5\na 3.0 4.0\n")
    assert posts_in(log) == {"a": [Post(1.0, 2.0), Post(3.0, 4.0)], "b": [Post(1.5, 2.5)]}


def test_the_figures_of_a_round() -> None:
    """In milliseconds, but the total; gaps within each job; the result is a POST as well."""
    jobs = [answer((START + 0.1, stamp(START)), (START + at, WORD * WORDS)) for at in (0.3, 0.6)]
    figures = figures_of_round(jobs, {})
    assert figures["TTFT"] == pytest.approx(100)
    assert (figures["gap p50"], figures["gap p99"]) == pytest.approx((200, 500))
    assert figures[LAG] == pytest.approx(1e3 * (START + 0.6 - due(START, HEADER + 1)))
    assert figures[TOTAL] == pytest.approx(0.6)
    assert figures["POSTs"] == 6
    assert OVER not in figures


def test_the_text_of_events() -> None:
    """Several in one chunk; usage and the end have none."""
    both = event({"content": "a"}, None) + event({"content": "b"}, None) + event({}, "stop")
    usage = f"data: {json.dumps({'choices': [], 'usage': {}})}\n\n"
    assert text_of(both + usage + "data: [DONE]\n\n") == "ab"


def record(outputs: Sequence[str], refused: Sequence[Any] = ()) -> dict[str, Any]:
    """A job's record, as the emulator's admin API has it."""
    chunks = [{"output": output, "monotonic": START} for output in outputs]
    return {
        "id": "a",
        "state": "COMPLETED",
        "error": None,
        "queued": {"monotonic": START},
        "ended": {"monotonic": START},
        "attempts": [{"chunks": chunks, "refused": refused}],
    }


def test_the_answer_in_a_record() -> None:
    whole = [event({"content": stamp(START)}, None), event({"content": WORD * WORDS}, "stop")]
    assert [chunk.text for chunk in answer_of(record(whole)).chunks] == [
        stamp(START),
        WORD * WORDS,
    ]
    with pytest.raises(ValueError, match="not the answer"):
        answer_of(record(whole[:1]))
    with pytest.raises(ValueError, match="not the answer"):
        answer_of(record(whole, [{"status": 503}]))


def test_the_proxies_server_sends_each_token_as_an_event() -> None:
    """The header has none; the end and [DONE] have no text."""

    async def sent() -> list[str]:
        return [each async for each in events(-float(TOKENS))]  # all of them have come

    texts = [text_of(each) for each in asyncio.run(sent())]
    assert texts == [stamp(-float(TOKENS)), *[WORD] * WORDS, "", ""]


@pytest.mark.slow
def test_each_side_answers() -> None:
    """The same text through all three workers; only ours writes down its POSTs."""

    async def rounds() -> dict[str, Any]:
        async with all_sides() as sides:
            return {name: await side.round(1, 2) for name, side in sides.items()}

    figures = asyncio.run(rounds())
    assert figures.keys() == SIDES.keys()
    assert {name for name, found in figures.items() if OVER in found} == {"worker"}
    # A POST for each event, [DONE] among them, and the result.
    assert figures["async proxy"]["POSTs"] == 2 * (1 + WORDS + 2 + 1)
    assert figures["worker"]["POSTs"] <= figures["async proxy"]["POSTs"]

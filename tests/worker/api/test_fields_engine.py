"""Fields that say how an answer ends and what it may hold, on the real engine.

Each is compared with the same greedy request without it.
"""

from contextlib import aclosing
from typing import Any

from tests.conftest import RealWorker
from worker.api.chat import render_prompt
from worker.api.routes import route_for
from worker.harmony.vocabulary import STOP_IDS, encode
from worker.job_metrics import JobMetrics

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
ASKED = {"messages": [{"role": "user", "content": "What is 2+2?"}]}
GREEDY = {"temperature": 0, "max_tokens": 120}


def answer(real: RealWorker, route: str, **fields: Any) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        exchange = await real.service.read(route_for(route), {**GREEDY, **fields})
        async with aclosing(exchange.answer(JobMetrics())) as batches:
            ((whole,),) = [batch async for batch in batches]
            return whole

    return real.run(ask())


def length(whole: dict[str, Any]) -> tuple[int, str]:
    """The tokens of an answer, and why it ended."""
    return whole["usage"]["completion_tokens"], whole["choices"][0]["finish_reason"]


def content(whole: dict[str, Any]) -> str:
    return whole["choices"][0]["message"]["content"]


def test_an_answer_is_not_shorter_than_min_tokens(real: RealWorker) -> None:
    """Nothing that would end it is chosen before."""
    tokens, reason = length(answer(real, CHAT, **ASKED))
    assert reason == "stop"
    assert length(answer(real, CHAT, **ASKED, min_tokens=tokens + 5))[0] >= tokens + 5
    prompt = render_prompt(ASKED)
    assert length(answer(real, TEXT, prompt=prompt))[0] == tokens
    assert length(answer(real, TEXT, prompt=prompt, min_tokens=tokens + 5))[0] >= tokens + 5


def test_an_answer_that_ignores_its_end_goes_on_to_max_tokens(real: RealWorker) -> None:
    """In a chat and in a text."""
    assert length(answer(real, CHAT, **ASKED, ignore_eos=True)) == (120, "length")
    prompt = render_prompt(ASKED)
    assert length(answer(real, TEXT, prompt=prompt, ignore_eos=True)) == (120, "length")


def test_a_token_of_a_callers_own_ends_an_answer(real: RealWorker) -> None:
    """And is not shown."""
    said = content(answer(real, CHAT, **ASKED))
    ids = encode(said)
    ended = answer(real, CHAT, **ASKED, stop_token_ids=[ids[1]])
    assert said.startswith(content(ended) or "")
    assert len(content(ended) or "") < len(said)
    assert length(ended)[1] == "stop"


def test_a_text_has_only_the_tokens_that_are_allowed(real: RealWorker) -> None:
    """Whatever the model would rather say; also where they are drawn at random."""
    allowed = [encode(" yes")[0], encode(" no")[0]]
    fields = {"prompt": render_prompt(ASKED), "allowed_token_ids": allowed, "max_tokens": 20}
    for temperature in (0, 2):
        whole = answer(real, TEXT, **fields | {"temperature": temperature})
        assert set(whole["choices"][0]["text"].split()) <= {"yes", "no"}
        assert length(whole) == (20, "length")
    ending = answer(real, TEXT, **fields | {"allowed_token_ids": [STOP_IDS[0]]})
    assert length(ending) == (1, "stop")


def test_a_bad_word_is_not_said(real: RealWorker) -> None:
    """Where it would have been."""
    said = content(answer(real, CHAT, **ASKED))
    words = {word for word in said.split() if len(encode(word)) == 1}
    assert words
    for word in words:
        other = content(answer(real, CHAT, **ASKED, bad_words=[word])) or ""
        assert word not in other.split()

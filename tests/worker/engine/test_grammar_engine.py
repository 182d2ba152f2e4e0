"""Grammars on the real engine, whose tokens are drawn at random: what it writes is well formed."""

import json
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from tests.conftest import RealWorker
from tests.support.noisy_engine import NoisyEngine
from tests.worker.engine.test_bounded_strings import asked, obj, text
from tests.worker.engine.test_constrained import LIKELY, problem
from tests.worker.engine.test_grammar_masks import HEADERS, NAMES, TOOLS
from tests.worker.engine.test_markers import CLOSERS, SPELLED_MARKERS, answer_format
from worker.api.chat import render_prompt
from worker.api.routes import route_for
from worker.engine import Sampling, SglangEngine
from worker.errors import BadRequest
from worker.harmony.vocabulary import END, STOP_IDS
from worker.job_metrics import JobMetrics
from worker.service import Service

CHAT = route_for("/v1/chat/completions")


class Spoiled(SglangEngine):
    """The booted engine of another, which refuses every grammar."""

    def __init__(self, booted: SglangEngine) -> None:
        super().__init__({})
        self.__dict__.update(booted.__dict__)
        self.asked: list[bool] = []

    def _request(self, prompt_ids: Sequence[int], sampling: Sampling) -> dict[str, Any]:
        request = super()._request(prompt_ids, sampling)
        parameters = request["sampling_params"]
        self.asked.append(parameters["structural_tag"] is not None)
        if self.asked[-1]:
            unknown = {"type": "structural_tag", "format": {"type": "unknown"}}
            parameters["structural_tag"] = json.dumps(unknown)
        return request


async def ask(service: Service, **fields: Any) -> tuple[ChatCompletion, JobMetrics]:
    body = {"messages": [{"role": "user", "content": "Hi"}], "tools": TOOLS, **fields}
    metrics = JobMetrics()
    async with aclosing((await service.read(CHAT, body)).answer(metrics)) as batches:
        ((item,),) = [batch async for batch in batches]
    return ChatCompletion.model_validate(item), metrics


def test_a_grammar_of_headers_that_is_refused_is_done_without(real: RealWorker) -> None:
    """Nobody asked for it. A call that must be made is refused."""
    engine = Spoiled(real.engine)
    service = Service(engine, real.model, real.settings)
    answer, _ = real.run(ask(service, temperature=0, n=2))
    assert engine.asked == [True, True, False, False]
    assert {choice.finish_reason for choice in answer.choices} == {"stop"}
    with pytest.raises(BadRequest, match="grammar"):
        real.run(ask(service, tool_choice="required"))


def test_headers_are_well_formed_whatever_the_model_draws(real: RealWorker) -> None:
    """With every token drawn at random: each call is of a tool on offer, nothing is mended."""
    called = set[str]()
    for seed in range(12):
        engine = NoisyEngine(real.engine, seed * 1_000_003 + 7, [END, *STOP_IDS])
        answer, metrics = real.run(ask(Service(engine, real.model, real.settings), max_tokens=400))
        (choice,) = answer.choices
        called |= {
            call.function.name
            for call in choice.message.tool_calls or ()
            if call.type == "function"
        }
        assert not any(metrics.recoveries.values()), choice
    assert called
    assert called <= set(NAMES)


def test_greedy_answers_are_the_same_with_and_without(real: RealWorker) -> None:
    """The demo model writes well-formed headers by itself."""

    async def ids(prompt: list[int], tag: str | None) -> list[int]:
        sampling = Sampling(300, temperature=0.0, stop_ids=STOP_IDS, structural_tag=tag)
        async with aclosing(real.engine.generate(prompt, sampling, f"same-{tag is None}")) as steps:
            return [token async for step in steps for token in step.ids]

    for question in ("What's the weather in Paris?", "Hello", "Count to twenty"):
        messages = [{"role": "user", "content": question}]
        prompt = list(render_prompt({"messages": messages, "tools": TOOLS}))
        assert real.run(ids(prompt, HEADERS)) == real.run(ids(prompt, None))


@pytest.mark.parametrize(
    "fields",
    [
        answer_format(
            {
                "type": "object",
                "properties": {"a": {"type": "string", "minLength": 5}},
                "required": ["a"],
                "additionalProperties": False,
            }
        ),
        answer_format(SPELLED_MARKERS["property"]),
        answer_format({"type": "object", "properties": {"t": {"enum": ["<|end|>"]}}}),
    ],
)
def test_an_engine_that_would_rather_end_writes_valid_json(
    real: RealWorker, fields: dict[str, Any]
) -> None:
    """The real one, its sampler drawn to `<|end|>` and to quotes wherever they are admitted."""
    schema = fields["response_format"]["json_schema"]["schema"]

    async def ask_once(seed: int) -> str:
        engine = NoisyEngine(real.engine, seed, [END, *CLOSERS])
        body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2000, **fields}
        exchange = await Service(engine, real.model, real.settings).read(CHAT, body)
        ((item,),) = [batch async for batch in exchange.answer(JobMetrics())]
        assert item["choices"][0]["finish_reason"] == "stop"
        return item["choices"][0]["message"]["content"]

    for seed in range(5):
        assert problem(real.run(ask_once(seed)), schema) is None


def test_a_counted_string_is_held_by_the_engine(real: RealWorker) -> None:
    """500 characters and no more, with every token drawn at random."""
    schema = obj(text(minLength=5, maxLength=500))
    for seed in range(3):
        engine = NoisyEngine(real.engine, seed * 1_000_003 + 7, LIKELY)
        service = Service(engine, real.model, real.settings)
        answer, _ = real.run(ask(service, tools=None, max_tokens=3000, **asked(schema)))
        (choice,) = answer.choices
        assert choice.finish_reason == "stop"
        assert problem(choice.message.content or "", schema) is None

"""Grammars of headers in SGLang's sampler: the masks are SGLang's, made at less cost."""

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest
import torch
from sglang.srt.constrained.base_grammar_backend import InvalidGrammarObject
from sglang.srt.constrained.xgrammar_backend import XGrammarGrammarBackend
from sglang.srt.sampling.sampling_batch_info import SamplingBatchInfo
from transformers import AutoTokenizer

from tests.support.scripted_engine import tokens
from worker.api.chat import structural_tag
from worker.engine.grammar_masks import (
    MAX_CACHED_GRAMMARS,
    Backend,
    BodyGrammar,
    HeaderGrammar,
    update_masks,
)
from worker.engine.scheduler import GrammarTokenizer
from worker.harmony.grammar import is_headers_only
from worker.harmony.vocabulary import CALL, END, FIRST_SPECIAL, RETURN, SIZE, START, STOP_IDS
from worker.model import DEMO_FOLDER

# SGLang 0.5.23 still says how far its matchers can go back, which xgrammar 0.2.7 no longer wants.
pytestmark = pytest.mark.filterwarnings("ignore:max_rollback_tokens:DeprecationWarning")

NAMES = ("get_weather", "get_time", "ls")
TOOLS = [{"type": "function", "function": {"name": name}} for name in NAMES]
CALL_OF_ONE = (
    "<|channel|>analysis<|message|>I look.<|end|><|start|>assistant"
    "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
    '{"city": "Paris"}<|call|>'
)
CALL_OF_TWO = (
    "<|channel|>commentary<|message|>Two.<|end|><|start|>assistant<|channel|>commentary "
    "to=functions.get_time <|constrain|>json<|message|>{}<|end|><|start|>assistant"
    "<|channel|>commentary to=functions.ls <|constrain|>json<|message|>{}<|call|>"
)
ANSWER = "<|channel|>final<|message|>It is sunny in Paris, and two o'clock.<|return|>"
FORCED_CALL = CALL_OF_ONE.replace('"city": "Paris"', "")
HEADERS = structural_tag({"tools": TOOLS}, headers=True) or ""
FORCED = structural_tag({"tools": TOOLS, "tool_choice": "required"}) or ""


@dataclass
class Batch:
    """What SGLang's masks are made of."""

    grammars: list[Any]
    grammar_mask: Any = None
    vocab_size: int = SIZE
    device: str = "cpu"

    @property
    def temperatures(self) -> list[Any]:
        return self.grammars

    def refused_by_sglang(self) -> torch.Tensor:
        SamplingBatchInfo.update_regex_vocab_mask(self)  # pyright: ignore[reportArgumentType]
        return self._refused()

    def refused(self) -> torch.Tensor:
        update_masks(self)
        return self._refused()

    def _refused(self) -> torch.Tensor:
        logits = torch.zeros((len(self.grammars), SIZE))
        if self.grammar_mask is not None:
            self.grammar_mask.apply(logits)
        return logits.isneginf()


@lru_cache(maxsize=1)
def backend() -> Backend:
    tokenizer = AutoTokenizer.from_pretrained(str(DEMO_FOLDER))
    return Backend(GrammarTokenizer(tokenizer, SIZE, list(STOP_IDS)), SIZE)


def light(tag: str = HEADERS) -> HeaderGrammar:
    grammar = backend().dispatch_structural_tag(tag)
    assert isinstance(grammar, HeaderGrammar)
    return grammar


def body(tag: str) -> BodyGrammar:
    grammar = backend().dispatch_structural_tag(tag)
    assert isinstance(grammar, BodyGrammar)
    return grammar


def plain(tag: str) -> Any:
    return XGrammarGrammarBackend.dispatch_structural_tag(backend(), tag)


def test_only_grammars_of_headers_are_light() -> None:
    """What someone asked for goes SGLang's way: its texts may be anything."""
    assert is_headers_only(HEADERS)
    for request in (
        {"tools": TOOLS, "tool_choice": "required"},
        {"structured_outputs": {"choice": ["yes", "no"]}},
        {"structured_outputs": {"regex": "a*"}},
        {"response_format": {"type": "json_object"}},
    ):
        tag = structural_tag(request)
        assert tag is not None
        assert not is_headers_only(tag)
        assert not isinstance(backend().dispatch_structural_tag(tag), HeaderGrammar)


def test_the_masks_are_sglangs() -> None:
    """In every row at every step, whatever stands in the other rows."""
    scripts = [tokens(text) for text in (CALL_OF_ONE, CALL_OF_TWO, ANSWER, FORCED_CALL)]
    tags = [HEADERS, HEADERS, HEADERS, FORCED]
    ours: list[Any] = [*map(light, tags[:3]), plain(FORCED), None]
    theirs: list[Any] = [*map(plain, tags), None]
    for step in range(max(map(len, scripts)) + 1):
        expected, made = Batch(theirs).refused_by_sglang(), Batch(ours).refused()
        assert torch.equal(made, expected), step
        for row, script in enumerate(scripts):
            for grammars in (ours, theirs):
                if step < len(script):
                    grammars[row].accept_token(script[step])
                grammars[row].finished = step >= len(script) - 1


def test_a_text_that_is_free_costs_nothing_under_any_grammar() -> None:
    """The reasoning before a forced call: the masks are SGLang's, the matcher reads none of it."""
    ours, theirs = body(FORCED), plain(FORCED)
    script = tokens(FORCED_CALL)
    for place, token in enumerate(script):
        assert torch.equal(Batch([ours]).refused(), Batch([theirs]).refused_by_sglang()), place
        ours.accept_token(token)
        theirs.accept_token(token)
    assert ours.is_terminated()
    assert ours.accepted_tokens == theirs.accepted_tokens
    assert not all(ours._matched)
    ours.rollback(len(script) - 4)
    theirs.rollback(len(script) - 4)
    assert torch.equal(Batch([ours]).refused(), Batch([theirs]).refused_by_sglang())
    with pytest.raises(ValueError, match="not accepted"):
        ours.accept_token(CALL)


def test_a_grammar_that_admits_no_answer_is_refused() -> None:
    """Before anything is generated."""
    tag = structural_tag({"structured_outputs": {"grammar": "root ::= root"}}) or ""
    assert isinstance(backend().dispatch_structural_tag(tag), InvalidGrammarObject)


def test_a_grammar_that_has_no_way_on_admits_anything_and_then_refuses_it() -> None:
    """The request ends, with its error, and the sampler never draws from nothing."""
    tag = structural_tag({"structured_outputs": {"grammar": 'root ::= "a" x\nx ::= x'}}) or ""
    grammar = body(tag)
    for token in tokens("<|channel|>final<|message|>a"):
        grammar.accept_token(token)
    assert not Batch([grammar]).refused().any()
    with pytest.raises(ValueError, match="not accepted"):
        grammar.accept_token(tokens("b")[0])


def test_a_body_is_free_whatever_is_written_in_it() -> None:
    """Any ordinary token, and then what may end it: nothing of it is forgotten or doubled."""
    generator = random.Random(7)  # noqa: S311 - draws tokens
    ours, theirs = light(), plain(HEADERS)
    script = tokens(CALL_OF_TWO)
    for token in script:
        text = (
            [generator.randrange(FIRST_SPECIAL) for _ in range(5)] if token in (END, CALL) else []
        )
        for each in (*text, token):
            ours.accept_token(each)
            theirs.accept_token(each)
        assert torch.equal(Batch([ours]).refused(), Batch([theirs]).refused_by_sglang())
    assert ours.is_terminated()
    assert theirs.is_terminated()


def test_a_body_costs_no_mask_over_the_vocabulary() -> None:
    """One look at which special tokens may not come."""
    grammar = light()
    for token in tokens("<|channel|>analysis<|message|>I"):
        grammar.accept_token(token)
    batch = Batch([grammar, None])
    update_masks(batch)
    assert batch.grammar_mask.constrained is None
    assert batch.grammar_mask.forbidden.shape[1] < 32


@pytest.mark.parametrize("length", [1, 2, 4, 12])
def test_tokens_can_be_taken_back(length: int) -> None:
    """As speculative decoding does with what it only tries."""
    ours, theirs = light(), plain(HEADERS)
    script = tokens(CALL_OF_ONE)
    for start in range(len(script) - length):
        before = Batch([ours]).refused()
        for token in script[start : start + length]:
            ours.accept_token(token)
        ours.rollback(length)
        assert torch.equal(Batch([ours]).refused(), before)
        ours.accept_token(script[start])
        theirs.accept_token(script[start])
        assert torch.equal(Batch([ours]).refused(), Batch([theirs]).refused_by_sglang())
        assert ours.accepted_tokens == theirs.accepted_tokens


def test_it_lets_go_at_a_token_that_it_does_not_admit() -> None:
    """Nobody asked for it, so it ends no request. What someone asked for does."""
    grammar, forced = light(), plain(FORCED)
    for token in (START, RETURN, 5, END):
        grammar.accept_token(token)
        assert not Batch([grammar]).refused().any()
        assert not grammar.is_terminated()
    with pytest.raises(ValueError, match="not accepted"):
        forced.accept_token(START)


def test_each_request_has_a_grammar_of_its_own() -> None:
    """Made from what was compiled once."""
    first = light()
    for token in tokens("<|channel|>final<|message|>It"):
        first.accept_token(token)
    second = first.copy()
    assert isinstance(second, HeaderGrammar)
    assert torch.equal(Batch([second]).refused(), Batch([light()]).refused())


def test_what_was_compiled_is_not_kept_for_ever() -> None:
    """Else every set of tools would stay in memory."""
    grammar = light()
    for number in range(MAX_CACHED_GRAMMARS + 3):
        backend().set_cache(("structural_tag", str(number)), grammar)
    kept = {key for _, key in backend().cache}
    assert kept == {str(number) for number in range(3, MAX_CACHED_GRAMMARS + 3)}


def test_more_tools_than_compile_at_once_are_not_held() -> None:
    """200 are, and 1,000; not 10,000."""
    for count, held in ((200, True), (1000, True), (10_000, False)):
        names = [f"mcp__server_{number % 7}__a_tool_{number}" for number in range(count)]
        tools = [{"type": "function", "function": {"name": name}} for name in names]
        assert (structural_tag({"tools": tools}, headers=True) is not None) == held

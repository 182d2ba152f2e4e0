"""Grammars that cost next to nothing where text is free. Runs in SGLang's scheduler process.

For every token SGLang fills a mask over the vocabulary, copies it to the device, applies it, and
has xgrammar accept what was sampled. Where a text is free (the reasoning, or every body of a
grammar that holds headers alone) none of that is needed: every ordinary token is admitted there,
and none leads anywhere else.

Rules: a grammar looks at its mask once where a body begins, and if that is free, until the next
special token its request costs a look at which special tokens may not come: those are the last few
columns of the logits. Its matcher never reads the text, which makes it faster later, too: it looks
back at all that it read when it counts characters (`bounded_strings.py`). Masks over the vocabulary
are made for the rows from the first to the last that needs one.
Nobody asked for a grammar of headers alone, so it never ends a request: at a token that it does not
admit (which only a custom logit processor can choose) it lets go.
What was compiled is kept, but not for ever: every set of tools is a grammar of its own.
Source: `SamplingBatchInfo.update_regex_vocab_mask` of SGLang 0.5.23, which `install` replaces.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import torch
from sglang.srt.constrained.base_grammar_backend import (
    GrammarMask,
    GrammarRow,
    InvalidGrammarObject,
)
from sglang.srt.constrained.xgrammar_backend import XGrammarGrammar, XGrammarGrammarBackend
from sglang.srt.sampling.sampling_batch_info import SamplingBatchInfo
from xgrammar import GrammarCompiler, GrammarMatcher, allocate_token_bitmask

from worker.engine.bounded_strings import with_bounded_strings
from worker.harmony.grammar import constrains_headers_only
from worker.harmony.vocabulary import CHANNEL, ENDOFPROMPT, FIRST_SPECIAL, MESSAGE, SIZE

Refused = int
"""Which of the special tokens may not come: one bit for each, the lowest for the first."""

KEPT = 512
"""How many compiled grammars are kept: one takes 0.1 MB with 200 tools."""
_TAIL = slice(FIRST_SPECIAL, ENDOFPROMPT + 1)
"""The columns of the special tokens that have a name; the rest is reserved, and admitted."""


def install() -> None:
    """Has SGLang's sampler make its masks here."""
    SamplingBatchInfo.update_regex_vocab_mask = update_masks


class Backend(XGrammarGrammarBackend):
    """SGLang's xgrammar backend, with grammars of ours, and bounded strings that compile at once.

    `tokenizer` gives xgrammar's vocabulary through `init_xgrammar`, as SGLang asks it.
    """

    def __init__(self, tokenizer: Any, vocab_size: int) -> None:
        super().__init__(tokenizer, vocab_size)
        vocabulary, _ = tokenizer.init_xgrammar()
        # Its cache mixes up structural tags that name tokens (xgrammar 0.2.7, and SGLang says so of
        # 0.2.1 on): after a tag of headers, one of JSON admitted other tokens than the header's.
        self.grammar_compiler = GrammarCompiler(vocabulary, cache_enabled=False)

    def dispatch_structural_tag(self, key_string: str) -> Any:
        grammar = super().dispatch_structural_tag(with_bounded_strings(key_string))
        if not isinstance(grammar, XGrammarGrammar):
            return grammar
        if constrains_headers_only(key_string):
            return HeaderGrammar.of(grammar)
        if _admits_no_answer(grammar.ctx):
            return InvalidGrammarObject("it admits no text")
        return BodyGrammar.of(grammar)

    def set_cache(self, key: tuple[str, str], value: Any) -> None:
        super().set_cache(key, value)
        while len(self.cache) > KEPT:
            del self.cache[next(iter(self.cache))]


def _admits_no_answer(compiled: Any) -> bool:
    """Whether a grammar leads to a final message of which nothing may be written."""
    matcher = GrammarMatcher(compiled)
    begun = matcher.accept_token(CHANNEL) and matcher.accept_string("final")
    if not (begun and matcher.accept_token(MESSAGE)):
        return False
    mask = allocate_token_bitmask(1, SIZE)
    matcher.fill_next_token_bitmask(mask)
    return not mask.any()


class BodyGrammar(XGrammarGrammar):
    """A grammar whose free texts cost nothing: `refused` says which special tokens may not come."""

    refused: Refused | None = None
    """None in a header, and in a body that is held."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._taken = bytearray()  # for each token, whether the matcher had to know it

    @classmethod
    def of(cls, grammar: Any) -> Self:
        return cls(
            grammar.matcher,
            grammar.vocab_size,
            grammar.ctx,
            grammar.override_stop_tokens,
            grammar.key_string,
            grammar.grammar_stats,
        )

    def copy(self) -> Self:
        return self.of(super().copy())

    def is_terminated(self) -> bool:
        return self.refused is None and super().is_terminated()

    def accept_token(self, token: int) -> None:
        if self.refused is not None and token < FIRST_SPECIAL:
            self.accepted_tokens.append(token)
            self._taken.append(False)
            return
        taken = len(self.accepted_tokens)
        super().accept_token(token)
        if len(self.accepted_tokens) > taken:  # else it was over before
            self._taken.append(True)
            self.refused = self._look() if token == MESSAGE else None

    def rollback(self, k: int) -> None:
        taken = sum(self._taken[-k:])
        del self._taken[-k:]
        del self.accepted_tokens[-k:]
        if taken:
            self.matcher.rollback(taken)
            self.refused = self._look()

    def _look(self) -> Refused | None:
        """What a free text refuses; None if the matcher is not in one."""
        row = self.allocate_vocab_mask(self.vocab_size, 1, "cpu")
        self.matcher.fill_next_token_bitmask(row, 0)
        lacking = int.from_bytes((~row).numpy().tobytes(), "little")
        refused = lacking >> _TAIL.start
        free = refused << _TAIL.start == lacking and refused < 1 << (_TAIL.stop - _TAIL.start)
        return refused if free else None


class HeaderGrammar(BodyGrammar):
    """A grammar of headers, for which nobody asked: it lets go rather than end a request."""

    _let_go = False

    def accept_token(self, token: int) -> None:
        if self._let_go:
            self.accepted_tokens.append(token)
            self._taken.append(False)
            return
        try:
            super().accept_token(token)
        except ValueError:
            self._let_go, self.refused = True, 0
            self.accepted_tokens.append(token)
            self._taken.append(True)

    def rollback(self, k: int) -> None:
        if self._let_go:
            del self._taken[-k:]
            del self.accepted_tokens[-k:]
        else:
            super().rollback(k)


@dataclass(frozen=True, slots=True)
class Masks:
    """What a step's logits may not choose. In place of SGLang's `GrammarMask`, which covers all."""

    refused: torch.Tensor | None
    """For each row, which of the special tokens."""
    held: tuple[slice, GrammarMask] | None = None
    """Rows, and what is masked in them over the whole vocabulary."""

    def apply(self, logits: torch.Tensor) -> None:
        if self.refused is not None:
            logits[:, _TAIL].masked_fill_(self.refused, -torch.inf)
        if self.held is not None:
            rows, mask = self.held
            mask.apply(logits[rows])


def update_masks(self: Any) -> None:
    """Makes a batch's `grammar_mask`, as `SamplingBatchInfo.update_regex_vocab_mask` does."""
    self.grammar_mask = None
    if self.grammars:
        self.grammar_mask = _masks(self.grammars, self.vocab_size, self.device)


def _masks(grammars: Sequence[Any], vocab_size: int, device: Any) -> Masks:
    refused = tuple([_refused(grammar) for grammar in grammars])
    tail = _tail(tuple([bits or 0 for bits in refused]), device) if any(refused) else None
    held = [row for row, bits in enumerate(refused) if bits is None]
    if not held:
        return Masks(tail)
    rows = slice(held[0], held[-1] + 1)
    entries = [GrammarRow(row - rows.start, grammars[row]) for row in held]
    backend = entries[0].grammar
    mask = backend.allocate_vocab_mask(vocab_size, rows.stop - rows.start, device)
    backend.fill_vocab_mask_batched(entries, mask)
    if (stuck := ~mask.any(dim=1)).any():  # a client's grammar has no way on: `root ::= "a" root`,
        mask[stuck] = -1  # say; sampling from nothing could end the process, a wrong token ends it
    return Masks(tail, (rows, GrammarMask(backend, backend.move_vocab_mask(mask, device))))


def _refused(grammar: Any) -> Refused | None:
    """None where the grammar's own mask is needed."""
    if not grammar or grammar.finished or grammar.is_terminated():
        return 0
    return getattr(grammar, "refused", None)


@lru_cache(maxsize=64)
def _tail(refused: tuple[Refused, ...], device: Any) -> torch.Tensor:
    """Kept on the device: it changes where a text begins or ends, not at each token."""
    return torch.stack([_row(bits) for bits in refused]).to(device, non_blocking=True)


@lru_cache(maxsize=64)
def _row(refused: Refused) -> torch.Tensor:
    return torch.tensor([refused >> bit & 1 for bit in range(_TAIL.stop - _TAIL.start)]).bool()

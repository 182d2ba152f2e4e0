"""Token masks that cost almost nothing in unconstrained text. Runs in SGLang's scheduler process.

For every token, SGLang fills a mask over the vocabulary, copies it to the device, applies it, and
has xgrammar accept the sampled token. None of that is needed in unconstrained text, which is the
reasoning, or every message body if a grammar constrains only headers: every ordinary token is
allowed there, and none changes the grammar's state.

Rules: a grammar checks its mask once at the start of a body. If the body is unconstrained, then
until the next special token only the forbidden special tokens are masked, which are the last few
columns of the logits. The matcher does not read such text, which also makes it faster later: to
count characters (`bounded_strings.py`), it goes back over everything it has read. Masks over the
whole vocabulary are computed for the range of rows from the first to the last that needs one.
The client did not ask for a grammar that constrains only headers, so such a grammar never fails a
request: at a token that it does not allow (which only a custom logit processor can sample), it
stops constraining.
Compiled grammars are cached, up to a limit, because every set of tools has its own grammar.
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
from worker.harmony.grammar import is_headers_only
from worker.harmony.vocabulary import CHANNEL, ENDOFPROMPT, FIRST_SPECIAL, MESSAGE, SIZE

SpecialTokenBits = int
"""A set of special tokens: one bit for each, the lowest for the first."""

MAX_CACHED_GRAMMARS = 512
"""How many compiled grammars are cached. With 200 tools, one takes 0.1 MB."""
_TAIL = slice(FIRST_SPECIAL, ENDOFPROMPT + 1)
"""The columns of the named special tokens. The other special tokens are reserved, and allowed."""


def install() -> None:
    """Makes SGLang's sampler compute its masks with `update_masks`."""
    SamplingBatchInfo.update_regex_vocab_mask = update_masks


class Backend(XGrammarGrammarBackend):
    """SGLang's xgrammar backend, with our grammar classes and bounded strings.

    `tokenizer.init_xgrammar` must return xgrammar's vocabulary, as SGLang requires.
    """

    def __init__(self, tokenizer: Any, vocab_size: int) -> None:
        super().__init__(tokenizer, vocab_size)
        vocabulary, _ = tokenizer.init_xgrammar()
        # Its cache confuses structural tags that name tokens (xgrammar 0.2.7; according to SGLang,
        # since 0.2.1): after a tag for headers, a tag for JSON allowed the wrong tokens in headers.
        self.grammar_compiler = GrammarCompiler(vocabulary, cache_enabled=False)

    def dispatch_structural_tag(self, key_string: str) -> Any:
        grammar = super().dispatch_structural_tag(with_bounded_strings(key_string))
        if not isinstance(grammar, XGrammarGrammar):
            return grammar
        if is_headers_only(key_string):
            return HeaderGrammar.of(grammar)
        if _allows_no_answer(grammar.ctx):
            return InvalidGrammarObject("it allows no text")
        return BodyGrammar.of(grammar)

    def set_cache(self, key: tuple[str, str], value: Any) -> None:
        super().set_cache(key, value)
        while len(self.cache) > MAX_CACHED_GRAMMARS:
            del self.cache[next(iter(self.cache))]


def _allows_no_answer(compiled: Any) -> bool:
    """Whether a grammar allows a final message but no token in it."""
    matcher = GrammarMatcher(compiled)
    begun = matcher.accept_token(CHANNEL) and matcher.accept_string("final")
    if not (begun and matcher.accept_token(MESSAGE)):
        return False
    mask = allocate_token_bitmask(1, SIZE)
    matcher.fill_next_token_bitmask(mask)
    return not mask.any()


class BodyGrammar(XGrammarGrammar):
    """A grammar that skips masks in unconstrained text.

    `forbidden`: the special tokens that are not allowed there.
    """

    forbidden: SpecialTokenBits | None = None
    """None in a header, and in a constrained body."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._matched = bytearray()  # for each token, whether the matcher has read it

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
        return self.forbidden is None and super().is_terminated()

    def accept_token(self, token: int) -> None:
        if self.forbidden is not None and token < FIRST_SPECIAL:
            self.accepted_tokens.append(token)
            self._matched.append(False)
            return
        taken = len(self.accepted_tokens)
        super().accept_token(token)
        if len(self.accepted_tokens) > taken:  # else the grammar had already ended
            self._matched.append(True)
            self.forbidden = self._forbidden_in_text() if token == MESSAGE else None

    def rollback(self, k: int) -> None:
        taken = sum(self._matched[-k:])
        del self._matched[-k:]
        del self.accepted_tokens[-k:]
        if taken:
            self.matcher.rollback(taken)
            self.forbidden = self._forbidden_in_text()

    def _forbidden_in_text(self) -> SpecialTokenBits | None:
        """The forbidden special tokens if the text is unconstrained here, else None."""
        row = self.allocate_vocab_mask(self.vocab_size, 1, "cpu")
        self.matcher.fill_next_token_bitmask(row, 0)
        lacking = int.from_bytes((~row).numpy().tobytes(), "little")
        forbidden = lacking >> _TAIL.start
        free = forbidden << _TAIL.start == lacking and forbidden < 1 << (_TAIL.stop - _TAIL.start)
        return forbidden if free else None


class HeaderGrammar(BodyGrammar):
    """A grammar that constrains only headers, without the client's request.

    It stops constraining rather than fail a request.
    """

    _disabled = False

    def accept_token(self, token: int) -> None:
        if self._disabled:
            self.accepted_tokens.append(token)
            self._matched.append(False)
            return
        try:
            super().accept_token(token)
        except ValueError:
            self._disabled, self.forbidden = True, 0
            self.accepted_tokens.append(token)
            self._matched.append(True)

    def rollback(self, k: int) -> None:
        if self._disabled:
            del self._matched[-k:]
            del self.accepted_tokens[-k:]
        else:
            super().rollback(k)


@dataclass(frozen=True, slots=True)
class Masks:
    """The tokens masked in one step. Replaces SGLang's `GrammarMask`, which covers all rows."""

    forbidden: torch.Tensor | None
    """The forbidden special tokens of each row: (rows, named special tokens), bool."""
    constrained: tuple[slice, GrammarMask] | None = None
    """A range of rows, and their mask over the whole vocabulary."""

    def apply(self, logits: torch.Tensor) -> None:
        if self.forbidden is not None:
            logits[:, _TAIL].masked_fill_(self.forbidden, -torch.inf)
        if self.constrained is not None:
            rows, mask = self.constrained
            mask.apply(logits[rows])


def update_masks(self: Any) -> None:
    """Sets a batch's `grammar_mask`, as `SamplingBatchInfo.update_regex_vocab_mask` does."""
    self.grammar_mask = None
    if self.grammars:
        self.grammar_mask = _masks(self.grammars, self.vocab_size, self.device)


def _masks(grammars: Sequence[Any], vocab_size: int, device: Any) -> Masks:
    forbidden = tuple([_forbidden(grammar) for grammar in grammars])
    tail = _tail(tuple([bits or 0 for bits in forbidden]), device) if any(forbidden) else None
    constrained = [row for row, bits in enumerate(forbidden) if bits is None]
    if not constrained:
        return Masks(tail)
    rows = slice(constrained[0], constrained[-1] + 1)
    entries = [GrammarRow(row - rows.start, grammars[row]) for row in constrained]
    backend = entries[0].grammar
    mask = backend.allocate_vocab_mask(vocab_size, rows.stop - rows.start, device)
    backend.fill_vocab_mask_batched(entries, mask)
    # A client's grammar can reach a dead end, for example in `root ::= "a" root`. Sampling with all
    # tokens masked could crash the process, so all are allowed; the next token fails the request.
    if (stuck := ~mask.any(dim=1)).any():
        mask[stuck] = -1
    return Masks(tail, (rows, GrammarMask(backend, backend.move_vocab_mask(mask, device))))


def _forbidden(grammar: Any) -> SpecialTokenBits | None:
    """The forbidden special tokens, or None if the grammar's own mask is needed."""
    if not grammar or grammar.finished or grammar.is_terminated():
        return 0
    return getattr(grammar, "forbidden", None)


@lru_cache(maxsize=64)
def _tail(forbidden: tuple[SpecialTokenBits, ...], device: Any) -> torch.Tensor:
    """Cached on the device: it only changes where a body begins or ends, not at every token."""
    return torch.stack([_row(bits) for bits in forbidden]).to(device, non_blocking=True)


@lru_cache(maxsize=64)
def _row(forbidden: SpecialTokenBits) -> torch.Tensor:
    return torch.tensor([forbidden >> bit & 1 for bit in range(_TAIL.stop - _TAIL.start)]).bool()

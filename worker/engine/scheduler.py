"""SGLang's scheduler process, with a grammar backend of ours in it.

xgrammar knows each token by its text, and in its vocabulary the text of a special token is what it
is written with. So wherever a grammar admits the text `<|end|>`, as any JSON string does, it admits
the token 200007 as well: a strict answer came back as `{"a": "It is`, ended inside a string.

Rules: what is changed in SGLang's process is changed here, before its scheduler begins. A special
token's text begins with the byte 0xFF, which no UTF-8 text has: a structural tag still names it by
its id, no text matches it, and a text that spells it (`"enum": ["<|end|>"]`) is generated as
ordinary tokens.
Source: `XGrammarGrammarBackend.reserve_framing_tokens` of SGLang 0.5.23 does the same for tags of
its own. The backend is put in through SGLang's registry, which custom backends are for.
"""

from collections.abc import Collection
from typing import Any

from worker.harmony.vocabulary import FIRST_SPECIAL

NO_TEXT = b"\xff"
"""What a special token's text begins with: never part of UTF-8."""


def run_scheduler_process(*arguments: Any, **named: Any) -> None:
    """SGLang's `run_scheduler_process`, in the process that it starts for it."""
    from sglang.srt.constrained.base_grammar_backend import register_grammar_backend
    from sglang.srt.managers import scheduler

    from worker.engine import grammar_cost

    register_grammar_backend("xgrammar", grammar_backend)
    grammar_cost.install()
    scheduler.run_scheduler_process(*arguments, **named)


def grammar_backend(
    _server_args: Any, tokenizer: Any, vocab_size: int, eos_token_ids: Collection[int] | None
) -> Any:
    """A grammar backend, as SGLang's registry wants it made."""
    from worker.engine.grammar_cost import Backend

    stops = list(eos_token_ids) if eos_token_ids else None
    return Backend(Reserved(tokenizer, vocab_size, stops), vocab_size)


class Reserved:
    """A tokenizer as a grammar backend asks it for xgrammar's vocabulary."""

    def __init__(self, tokenizer: Any, vocab_size: int, stops: list[int] | None) -> None:
        self._vocabulary = reserved(tokenizer, vocab_size, stops)

    def init_xgrammar(self) -> tuple[Any, None]:
        """The vocabulary, and no stop tokens besides its own."""
        return self._vocabulary, None


def reserved(tokenizer: Any, vocab_size: int, stops: list[int] | None) -> Any:
    """xgrammar's `TokenizerInfo` of a Harmony tokenizer, in which special tokens have no text."""
    from xgrammar import TokenizerInfo, VocabType

    info = TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocab_size, stop_token_ids=stops)
    texts = [
        NO_TEXT + text if token >= FIRST_SPECIAL else text
        for token, text in enumerate(info.decoded_vocab)
    ]
    return TokenizerInfo(
        texts, VocabType.RAW, vocab_size=info.vocab_size, stop_token_ids=info.stop_token_ids
    )

"""SGLang's scheduler process, with our grammar backend.

xgrammar matches tokens by their text, and its vocabulary has special tokens with their literal
text. So wherever a grammar allows the text `<|end|>`, as every JSON string does, it also allows
token 200007: a strict answer came back as `{"a": "It is`, ended inside a string.

Rules: all changes to SGLang's process are made here, before its scheduler starts. The text of each
special token is prefixed with the byte 0xFF, which never occurs in UTF-8. Structural tags can still
refer to it by ID, but no text matches it, and a text that contains its name
(`"enum": ["<|end|>"]`) is generated as ordinary tokens.
Source: `XGrammarGrammarBackend.reserve_framing_tokens` of SGLang 0.5.23 does the same for its own
tags. The backend is installed through SGLang's registry for custom backends.
"""

from collections.abc import Collection
from typing import Any

from worker.harmony.vocabulary import FIRST_SPECIAL

SPECIAL_TOKEN_PREFIX = b"\xff"
"""The prefix of every special token's text. It never occurs in UTF-8."""


def run_scheduler_process(*arguments: Any, **named: Any) -> None:
    """Replaces SGLang's `run_scheduler_process`; runs in the scheduler process."""
    from sglang.srt.constrained.base_grammar_backend import register_grammar_backend
    from sglang.srt.managers import scheduler

    from worker.engine import grammar_masks

    register_grammar_backend("xgrammar", grammar_backend)
    grammar_masks.install()
    scheduler.run_scheduler_process(*arguments, **named)


def run_direct_scheduler_process(
    server_args: Any, port_args: Any, *arguments: Any, **named: Any
) -> None:
    """The same, with the output sent to the tokenizer manager in place of the detokenizer.

    SGLang's skip_tokenizer_init does this too, but the grammar backend would lose its tokenizer.
    """
    port_args.detokenizer_ipc_name = port_args.tokenizer_ipc_name
    run_scheduler_process(server_args, port_args, *arguments, **named)


def grammar_backend(
    _server_args: Any, tokenizer: Any, vocab_size: int, eos_token_ids: Collection[int] | None
) -> Any:
    """Creates the grammar backend; has the signature that SGLang's registry requires."""
    from worker.engine.grammar_masks import Backend

    stops = list(eos_token_ids) if eos_token_ids else None
    return Backend(GrammarTokenizer(tokenizer, vocab_size, stops), vocab_size)


class GrammarTokenizer:
    """Provides xgrammar's vocabulary to SGLang's grammar backend."""

    def __init__(self, tokenizer: Any, vocab_size: int, stops: list[int] | None) -> None:
        self._vocabulary = grammar_vocabulary(tokenizer, vocab_size, stops)

    def init_xgrammar(self) -> tuple[Any, None]:
        """The vocabulary, without further stop tokens."""
        return self._vocabulary, None


def grammar_vocabulary(tokenizer: Any, vocab_size: int, stops: list[int] | None) -> Any:
    """xgrammar's `TokenizerInfo` for a Harmony tokenizer; no text matches its special tokens."""
    from xgrammar import TokenizerInfo, VocabType

    info = TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocab_size, stop_token_ids=stops)
    texts = [
        SPECIAL_TOKEN_PREFIX + text if token >= FIRST_SPECIAL else text
        for token, text in enumerate(info.decoded_vocab)
    ]
    return TokenizerInfo(
        texts, VocabType.RAW, vocab_size=info.vocab_size, stop_token_ids=info.stop_token_ids
    )

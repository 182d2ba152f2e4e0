"""The demo model's tokenizer: gpt-oss's own o200k_harmony vocabulary in Hugging Face's format.

Rule: it encodes like `worker.harmony.vocabulary.encode`, and every id up to 201,087 has its real
token, since SGLang uses only this file for stop strings, logprobs and grammars.
"""

import json
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from worker.harmony.vocabulary import FIRST_SPECIAL, SIZE, token_bytes

CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
PATTERN = "|".join(
    (
        rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTION}",
        rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTION}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
"""How o200k_base splits text into words (tiktoken's `openai_public.py`)."""

NAMED = {
    199998: "<|startoftext|>",
    199999: "<|endoftext|>",
    200002: "<|return|>",
    200003: "<|constrain|>",
    200005: "<|channel|>",
    200006: "<|start|>",
    200007: "<|end|>",
    200008: "<|message|>",
    200012: "<|call|>",
    200018: "<|endofprompt|>",
}
CHAT_TEMPLATE = (
    "{%- for m in messages -%}<|start|>{{ m['role'] }}"
    "{%- if m['role'] == 'assistant' -%}<|channel|>final{%- endif -%}"
    "<|message|>{{ m['content'] }}<|end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|start|>assistant{%- endif -%}"
)
"""Plain turns only: the worker renders its own prompts, so this is only for manual use of the
folder, and for SGLang, which looks for a template at start."""


def save_tokenizer(folder: Path) -> None:
    """Writes tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    (folder / "tokenizer.json").write_text(build().to_str(), encoding="utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": NAMED[199998],
        "eos_token": NAMED[200002],
        "pad_token": NAMED[199999],
        "model_max_length": 131072,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)


def build() -> Tokenizer:
    """Builds the tokenizer, in about four seconds."""
    words = [_visible(token) for token in token_bytes()]
    vocabulary = {word: id_ for id_, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocabulary, _merges(words, vocabulary), ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([special(id_) for id_ in range(FIRST_SPECIAL, SIZE)])
    return tokenizer


def special(id_: int) -> str:
    """The text of a special token: its name, or `<|reserved_ID|>`."""
    return NAMED.get(id_, f"<|reserved_{id_}|>")


def _merges(words: list[str], ranks: dict[str, int]) -> list[tuple[str, str]]:
    """The two halves that each token is merged from, in the order of the tokens' ranks.

    One merge per token is enough: 14 million tokens of random text encode as with tiktoken. Other
    converters write every possible split (446,189), which costs 180 MB in each process.
    """
    return [_halves(word, ranks) for word in words if len(word) > 1]


def _halves(word: str, ranks: dict[str, int]) -> tuple[str, str]:
    """The two parts of `word` that remain after all merges of a lower rank."""
    own = ranks[word]
    parts = list(word)
    while len(parts) > 2:
        pairs = [ranks.get(a + b, own) for a, b in pairwise(parts)]
        at = pairs.index(min(pairs))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]


def _visible(token: bytes) -> str:
    return token.decode("latin-1").translate(_alphabet())


@lru_cache(maxsize=1)
def _alphabet() -> dict[int, str]:
    """GPT-2's printable character for every byte."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {b: chr(b) for b in shown} | {b: chr(256 + n) for n, b in enumerate(hidden)}

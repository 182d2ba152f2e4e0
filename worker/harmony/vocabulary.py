"""The o200k_harmony vocabulary: token ids ↔ bytes, and the ids of Harmony's markers.

Rule: text is always encoded as ordinary text; markers are only ever written by id. So nothing that
a user types can become a marker.

The vocabulary file is stored beside this module and verified by its SHA-256; otherwise every pod,
even an offline one, would have to download it at startup. `openai_harmony` takes the file's folder
only from the environment, which is why this module sets (never reads) one variable.

Text is encoded by tiktoken with the same vocabulary: the encoder of `openai_harmony` takes time
quadratic in a word's length (5 s for 100,000 letters, holding the GIL) and panics on long words.
"""

import base64
import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import tiktoken
from openai_harmony import HarmonyEncoding, HarmonyEncodingName, load_harmony_encoding

STARTOFTEXT, ENDOFTEXT = 199998, 199999
RETURN, CONSTRAIN, CHANNEL, START, END, MESSAGE, CALL = (
    200002,
    200003,
    200005,
    200006,
    200007,
    200008,
    200012,
)
ENDOFPROMPT = 200018
"""The last named special token."""
FIRST_SPECIAL = STARTOFTEXT
"""Ids from here on are special tokens (named or reserved); lower ids are ordinary bytes."""
SIZE = 201088
"""Rows of gpt-oss's embedding matrix: the largest id plus one."""
STOP_IDS = (RETURN, CALL)
"""The tokens that end an assistant's turn (Harmony: `stop_tokens_for_assistant_actions`)."""

_FILE = Path(__file__).with_name("o200k_base.tiktoken")
_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"

_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_PATTERN = "|".join(
    (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
"""How o200k splits text into words (tiktoken_ext.openai_public.o200k_base)."""
_MAX_WHITESPACE = 50_000
"""Characters of whitespace in one piece. tiktoken panics at a run of about 500,000."""


@lru_cache(maxsize=1)
def encoding() -> HarmonyEncoding:
    """OpenAI's own Harmony encoding, loaded from the file beside this module (about 0.2 s)."""
    os.environ["TIKTOKEN_ENCODINGS_BASE"] = str(_FILE.parent)
    return load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)


@lru_cache(maxsize=1)
def token_bytes() -> list[bytes]:
    """The bytes of every ordinary token, by id. Raises ValueError if the file is corrupt."""
    data = _FILE.read_bytes()
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise ValueError(f"{_FILE.name} is corrupt: its sha256 is not {_SHA256}")
    table = [b""] * FIRST_SPECIAL
    for line in data.splitlines():
        token, rank = line.split()
        table[int(rank)] = base64.b64decode(token)
    return table


@lru_cache(maxsize=1)
def _tiktoken() -> tiktoken.Encoding:
    ranks = {data: rank for rank, data in enumerate(token_bytes()) if data}
    return tiktoken.Encoding(
        "o200k_ordinary", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={}
    )


def encode(text: str) -> list[int]:
    """Token ids of `text` as ordinary text; unpaired surrogates become U+FFFD."""
    encoder = _tiktoken()
    return [token for piece in _pieces(text) for token in encoder.encode_ordinary(piece)]


def decode(ids: Sequence[int]) -> str:
    """The text of ids of ordinary tokens; bytes that are no character become U+FFFD."""
    return b"".join(map(token_bytes().__getitem__, ids)).decode("utf-8", "replace")


def _pieces(text: str) -> Iterator[str]:
    """`text`, split within runs of whitespace that are too long."""
    start = 0
    for end in range(_MAX_WHITESPACE, len(text), _MAX_WHITESPACE):
        if text[end - _MAX_WHITESPACE : end].isspace():
            yield text[start:end]
            start = end
    yield text[start:]

"""The o200k_harmony vocabulary: token ids ↔ bytes, and the ids of Harmony's markers.

Rule: text is always encoded as ordinary text; a marker is only ever written by its id. So nothing
that a user types can become a marker.

The vocabulary file lies beside this module and is checked by its sha256, since every offline pod
would otherwise fetch it at start. `openai_harmony` takes its folder from the environment alone,
which is why this module sets (never reads) one variable.
"""

import base64
import hashlib
import os
from functools import lru_cache
from pathlib import Path

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
"""The last special token with a name."""
FIRST_SPECIAL = STARTOFTEXT
"""Ids from here up are special tokens (named or reserved); below are ordinary bytes."""
SIZE = 201088
"""Rows of gpt-oss's embedding: one more than the largest id."""
STOP_IDS = (RETURN, CALL)
"""The tokens that end an assistant's turn (Harmony: `stop_tokens_for_assistant_actions`)."""

_FILE = Path(__file__).with_name("o200k_base.tiktoken")
_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"


@lru_cache(maxsize=1)
def encoding() -> HarmonyEncoding:
    """OpenAI's own Harmony encoding, loaded from the file beside this module (about 0.2 s)."""
    os.environ["TIKTOKEN_ENCODINGS_BASE"] = str(_FILE.parent)
    return load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)


@lru_cache(maxsize=1)
def token_bytes() -> list[bytes]:
    """The bytes of every ordinary token, by id. Raises ValueError if the file is not the one."""
    data = _FILE.read_bytes()
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise ValueError(f"{_FILE.name} is damaged: its sha256 is not {_SHA256}")
    table = [b""] * FIRST_SPECIAL
    for line in data.splitlines():
        token, rank = line.split()
        table[int(rank)] = base64.b64decode(token)
    return table


def encode(text: str) -> list[int]:
    """Token ids of `text` as ordinary text; unpaired surrogates become U+FFFD."""
    return encoding().encode(text, disallowed_special=())

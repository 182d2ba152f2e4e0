"""Capsules: an analysis message's exact token ids as a string, for a client to carry.

gpt-oss performs much worse in a tool loop without its earlier reasoning, and in a serverless fleet
the next turn may reach another worker. So the client stores the reasoning, as the
`encrypted_content` of a reasoning item or the `signature` of a thinking block.

    capsule = base64(version, vocabulary, zlib(ids as 3-byte little-endian integers))

If keys are configured, the same bytes are encrypted as a Fernet token. This hides reasoning from
clients; safety does not depend on it: only IDs of ordinary text are accepted, which a client could
send as text anyway, and the renderer adds the markers, so a forged capsule cannot inject any.

`open` never raises. If a capsule cannot be opened (damaged, another version, sealed with a removed
key), the turn is rendered without its reasoning.
Source: https://github.com/fernet/spec; OpenAI's own blobs are Fernet tokens, too.
"""

import base64
import binascii
import copy
import zlib
from array import array
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from worker.harmony.conversation import Thought
from worker.harmony.vocabulary import FIRST_SPECIAL, decode

_HEAD = bytes([1, 1])
"""The version of this format, and the vocabulary: 1 is o200k_harmony."""
_BYTES = 3
"""Bytes per ID; the vocabulary has 201,088 IDs."""
_PURPOSE = b"gpt-oss-worker reasoning"


class Capsules:
    """Seals and opens capsules.

    `keys`: the first key seals, every key opens, so keys can be rotated. Without keys, capsules are
    not encrypted. `max_tokens`: longer capsules are rejected.
    """

    def __init__(self, keys: Sequence[str] = (), *, max_tokens: int = 131072) -> None:
        self._fernet = MultiFernet([_fernet(key) for key in keys]) if keys else None
        self._max_bytes = max_tokens * _BYTES
        self._opened: int | None = None  # bytes so far, if they are limited

    def for_one_request(self) -> "Capsules":
        """The same keys, for the capsules of one request: once they have opened to more than
        `max_tokens`, no more are opened. Its prompt is too long by then, and 500 characters can
        hold 131,072 tokens, so a request could otherwise stall the worker."""
        limited = copy.copy(self)
        limited._opened = 0
        return limited

    def seal(self, ids: Sequence[int]) -> str:
        """A capsule of `ids`; those that are not ordinary text are left out."""
        packed = _packed([token for token in ids if 0 <= token < FIRST_SPECIAL])
        payload = _HEAD + zlib.compress(packed)
        if self._fernet is not None:
            return self._fernet.encrypt(payload).decode()
        return base64.urlsafe_b64encode(payload).decode()

    def open(self, capsule: str) -> list[int] | None:
        """The ids in a capsule, or None if it cannot be opened."""
        if not capsule.isascii() or len(capsule) > 2 * self._max_bytes + 1000:
            return None
        if self._opened is not None and self._opened > self._max_bytes:
            return None
        payload = self._payload(capsule)
        if payload is None or not payload.startswith(_HEAD):
            return None
        inflater = zlib.decompressobj()
        try:
            packed = inflater.decompress(payload[len(_HEAD) :], self._max_bytes)
        except zlib.error:
            return None
        if self._opened is not None:
            self._opened += len(packed)
        if not inflater.eof or len(packed) % _BYTES:
            return None
        ids = _unpacked(packed)
        return ids if all(token < FIRST_SPECIAL for token in ids) else None

    def thought(self, capsule: str | None, text: str) -> Thought | None:
        """The reasoning that a client sent back: by its exact token IDs if the capsule opens, else
        by its text; None if neither says anything, since a lost capsule fails no request."""
        if capsule and (ids := self.open(capsule)):
            return Thought(decode(ids), ids)
        return Thought(text) if text else None

    def _payload(self, capsule: str) -> bytes | None:
        """The bytes of a capsule, encrypted or not: keys may have been added in the meantime."""
        if self._fernet is not None:
            try:
                return self._fernet.decrypt(capsule)
            except InvalidToken:
                pass  # unencrypted, or not a capsule
        try:
            return base64.b64decode(capsule, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None


def _fernet(key: str) -> Fernet:
    """A Fernet from a key of any length: HKDF derives the 32 bytes that Fernet requires."""
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))


def _packed(ids: Sequence[int]) -> bytes:
    """[1, 258] as 01 00 00 02 01 00."""
    wide = array("I", ids).tobytes()  # 4 bytes each, little-endian on every machine with a GPU
    packed = bytearray(len(ids) * _BYTES)
    for byte in range(_BYTES):
        packed[byte::_BYTES] = wide[byte::4]
    return bytes(packed)


def _unpacked(packed: bytes) -> list[int]:
    wide = bytearray(len(packed) // _BYTES * 4)
    for byte in range(_BYTES):
        wide[byte::4] = packed[byte::_BYTES]
    ids = array("I")
    ids.frombytes(bytes(wide))
    return ids.tolist()

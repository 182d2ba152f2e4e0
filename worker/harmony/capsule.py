"""Capsules: an analysis message's exact token ids as a string, for a client to carry.

gpt-oss is much worse without its reasoning inside a tool loop, and in a serverless fleet the next
turn may reach another worker. So the reasoning travels with the client, as the `encrypted_content`
of a reasoning item or the `signature` of a thinking block, and needs no store.

    capsule = base64(version, vocabulary, zlib(ids as 3-byte little-endian integers))

With keys it is a Fernet token of the same bytes: for operators who hide reasoning, not for safety.
Only ids of ordinary text are ever taken back, which any client can send as text anyway; the markers
around them are the renderer's, so a forged capsule injects none.

`open` never raises: a capsule that cannot be opened (damaged, of another version, sealed with a key
that is gone) costs the turn its reasoning and no more.
Source: https://github.com/fernet/spec; OpenAI's own blobs are Fernet tokens, too.
"""

import base64
import binascii
import zlib
from array import array
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from worker.harmony.vocabulary import FIRST_SPECIAL

_HEAD = bytes([1, 1])
"""The version of this format, and the vocabulary: 1 is o200k_harmony."""
_BYTES = 3
"""Of one id: the vocabulary has 201,088 of them."""
_PURPOSE = b"gpt-oss-worker reasoning"


class Capsules:
    """Seals and opens capsules.

    `keys`: the first one seals, all of them open, so a key can be rotated; without any, capsules
    are readable. `max_tokens`: the ids of a longer capsule are not taken back.
    """

    def __init__(self, keys: Sequence[str] = (), *, max_tokens: int = 131072) -> None:
        self._fernet = MultiFernet([_fernet(key) for key in keys]) if keys else None
        self._max_bytes = max_tokens * _BYTES

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
        payload = self._payload(capsule)
        if payload is None or not payload.startswith(_HEAD):
            return None
        inflater = zlib.decompressobj()
        try:
            packed = inflater.decompress(payload[len(_HEAD) :], self._max_bytes)
        except zlib.error:
            return None
        if not inflater.eof or len(packed) % _BYTES:
            return None
        ids = _unpacked(packed)
        return ids if all(token < FIRST_SPECIAL for token in ids) else None

    def _payload(self, capsule: str) -> bytes | None:
        """The bytes of a capsule, whether it is sealed or readable: a key may have come since."""
        if self._fernet is not None:
            try:
                return self._fernet.decrypt(capsule)
            except InvalidToken:
                pass  # a readable capsule, or none
        try:
            return base64.b64decode(capsule, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None


def _fernet(key: str) -> Fernet:
    """A Fernet of a key of any form: HKDF makes the 32 bytes that it takes."""
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

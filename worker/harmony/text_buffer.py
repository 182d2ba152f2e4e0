"""What a stream gathers token by token and needs whole at its end: its text, its token IDs.

A list holds some 60 bytes for each piece of text and 36 for each ID, and a stream of 10,000 tokens
would hold a megabyte. These hold the latest two kilobytes as they are, in one buffer, and the rest
in compressed blocks: English, code and their IDs come to about half of their bytes. Larger blocks
would compress better by a tenth, and would weigh more in the many answers that end within a few.
"""

import zlib
from array import array
from collections.abc import Iterable

BLOCK = 2048
"""Bytes."""
_FASTEST = 1


class TextBuffer:
    """`add` pieces, then take `text`. JSON escapes can hold unpaired surrogates, so they pass."""

    __slots__ = ("_blocks", "_utf8")

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._utf8 = bytearray()

    def __bool__(self) -> bool:
        return bool(self._utf8 or self._blocks)

    def add(self, piece: str) -> None:
        self._utf8 += piece.encode("utf-8", "surrogatepass")
        if len(self._utf8) >= BLOCK:
            self._blocks.append(zlib.compress(self._utf8, _FASTEST))
            self._utf8.clear()

    @property
    def text(self) -> str:
        return _joined(self._blocks, self._utf8).decode("utf-8", "surrogatepass")


class TokenBuffer:
    """`extend` it with token IDs, then take a `slice` of them."""

    __slots__ = ("_blocks", "_ids")

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._ids = array("i")

    def extend(self, ids: Iterable[int]) -> None:
        self._ids.extend(ids)
        if len(self._ids) >= BLOCK // self._ids.itemsize:
            self._blocks.append(zlib.compress(self._ids, _FASTEST))
            self._ids = array("i")

    def slice(self, start: int = 0, stop: int | None = None) -> "array[int]":
        ids = array("i", _joined(self._blocks, self._ids))
        return ids[start:stop]


def _joined(blocks: Iterable[bytes], rest: "bytearray | array[int]") -> bytes:
    return b"".join([*map(zlib.decompress, blocks), rest])

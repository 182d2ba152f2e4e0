"""From a prompt's pieces to its token ids, encoding each text once.

A prompt is composed as pieces: ids where the format writes markers, texts where someone wrote. A
client sends its whole history with every request, so almost all texts of a turn were in the turn
before it: their ids are kept, by content, and a turn costs its new texts alone.

    [(START,), "user", (MESSAGE,), "Hi", (END,)]

Rule: a text is encoded by itself, whatever stands beside it, so kept ids are those that encoding it
again would give. Pure: a caller may encode what is not kept (`find`) in another thread.
"""

import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from worker.harmony.vocabulary import FIRST_SPECIAL, encode

Piece = str | Sequence[int]
"""A text to be encoded, or token ids as they are."""

_IDS = tuple(range(FIRST_SPECIAL))
"""One object for each id: a kept text holds references of 8 bytes, not integers of 28 more."""
_OVERHEAD = 100
"""Approximate bytes per text in addition to the text and its ids."""


def encoded(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The ids of each text."""
    return {text: tuple(map(_IDS.__getitem__, encode(text))) for text in texts}


def joined(pieces: Iterable[Piece], texts: Mapping[str, Sequence[int]]) -> list[int]:
    """The ids of all pieces, in order. `texts` has those of every text among them."""
    ids: list[int] = []
    for piece in pieces:
        ids += texts[piece] if isinstance(piece, str) else piece
    return ids


def joined_anew(pieces: Sequence[Piece]) -> list[int]:
    """The ids of all pieces, in order, with every text encoded now."""
    return joined(pieces, encoded(texts_of(pieces)))


def texts_of(pieces: Iterable[Piece]) -> set[str]:
    """The texts among `pieces`, each once."""
    return {piece for piece in pieces if isinstance(piece, str)}


class EncodedTexts:
    """The ids of the latest texts, up to `max_bytes` in all; the least recently used go first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._ids: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self.size = 0
        """In bytes."""

    def find(self, texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """The ids of those texts that are kept."""
        found: dict[str, tuple[int, ...]] = {}
        for text in texts:
            if (ids := self._ids.get(text)) is not None:
                self._ids.move_to_end(text)
                found[text] = ids
        return found

    def keep(self, texts: Mapping[str, tuple[int, ...]]) -> None:
        """Keeps new texts. Whatever exceeds `max_bytes` is forgotten, they themselves included."""
        for text, ids in texts.items():
            if text not in self._ids:
                self._ids[text] = ids
                self.size += _size(text, ids)
        while self.size > self._max_bytes:
            self.size -= _size(*self._ids.popitem(last=False))


def _size(text: str, ids: tuple[int, ...]) -> int:
    return sys.getsizeof(text) + sys.getsizeof(ids) + _OVERHEAD

"""Prompts as segments, and the token ids of their texts, which are kept.

A prompt is rendered as segments first: markers by id, text as text. `join` makes its ids of them.

An agent sends its whole history with every turn, so most of a prompt's texts were encoded a turn
ago: their ids are kept, and a turn costs its new messages alone. What is new takes about a
millisecond for a thousand tokens. On an event loop, a history that a worker has never seen would
stop every stream for as long; so code on one calls `new`, has a thread encode the result with
`keep`, and then calls `join`. tiktoken does its work without the GIL.

Text is encoded whole, from one marker to the next: an id never depends on what is in another
segment.
"""

import sys
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import lru_cache

from worker.harmony.vocabulary import SIZE, encode

Segment = int | str | Sequence[int]
"""A marker, text, or ids that are known already (a remembered turn's, a capsule's)."""

SHORT = 64
"""Texts of at most this many characters are mostly the words of headers: `assistant`, `user`."""
MAX_BYTES = 64 * 2**20
"""What all kept texts and ids may take: histories of five million tokens, at 12 bytes each."""
_ENTRY_BYTES = 250
"""What an entry takes beside its text and ids."""


class EncodedTexts:
    """Texts and their ids, bounded by bytes. Threads may call all methods."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._ids: OrderedDict[str, Sequence[int]] = OrderedDict()
        self._lock = threading.Lock()
        self._shared = tuple(range(SIZE))

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, text: str) -> bool:
        return text in self._ids

    def encode(self, text: str) -> Sequence[int]:
        """The ids of `text`, which are kept from now on."""
        with self._lock:
            if (kept := self._ids.get(text)) is not None:
                self._ids.move_to_end(text)
                return kept
        # tiktoken makes a new int for each token, 32 bytes; here all prompts share one of each.
        ids = tuple(map(self._shared.__getitem__, encode(text)))
        with self._lock:
            self._keep(text, ids)
        return ids

    def _keep(self, text: str, ids: Sequence[int]) -> None:
        if text in self._ids:  # another thread was faster
            return
        self._ids[text] = ids
        self._bytes += _size(text, ids)
        while self._bytes > self._max_bytes:
            self._bytes -= _size(*self._ids.popitem(last=False))


def _size(text: str, ids: Sequence[int]) -> int:
    return sys.getsizeof(text) + 8 * len(ids) + _ENTRY_BYTES


_texts = EncodedTexts(MAX_BYTES)


@lru_cache(maxsize=4096)
def _word(text: str) -> Sequence[int]:
    return tuple(encode(text))


def join(segments: Iterable[Segment]) -> list[int]:
    """The ids of a prompt."""
    ids: list[int] = []
    for segment in segments:
        if isinstance(segment, int):
            ids.append(segment)
        elif isinstance(segment, str):
            ids += _word(segment) if len(segment) <= SHORT else _texts.encode(segment)
        else:
            ids += segment
    return ids


def new(segments: Iterable[Segment]) -> list[str]:
    """The texts of a prompt that have to be encoded, but for short ones."""
    texts = [segment for segment in segments if isinstance(segment, str)]
    return [text for text in texts if len(text) > SHORT and text not in _texts]


def keep(texts: Iterable[str]) -> None:
    """Encodes texts, for a later `join`. Threads may call it."""
    for text in texts:
        _texts.encode(text)

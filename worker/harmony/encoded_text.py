"""Prompts as segments, and the token ids of their texts, which are kept.

A prompt is rendered as segments first: markers by id, text as text. `join` makes its ids of them.

An agent sends its whole history with every turn, so most of a prompt's texts were encoded a turn
ago: their ids are kept, and a turn costs its new messages alone. What is new takes about a
millisecond for a thousand tokens. On an event loop, a history that a worker has never seen would
stop every stream for as long; so code on one calls `recalled`, and has a thread `join` the result
if much of it is still text. tiktoken does its work without the GIL.

Text is encoded whole, from one marker to the next: an id never depends on what is in another
segment.
"""

import sys
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TypeAlias

from worker.harmony.vocabulary import encode

Segment = int | str | Sequence[int]
"""A marker, text, or ids that are known already (a remembered turn's, a capsule's)."""

Ids: TypeAlias = "array[int]"
"""Of 64 bits each, as SGLang sends them to its scheduler: a prompt of 100,000 tokens is copied from
text to text, and into SGLang's message, in microseconds; as a list of integers, in milliseconds."""
_INT64 = "q"

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
        self._ids: OrderedDict[str, Ids] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, text: str) -> bool:
        return text in self._ids

    def recall(self, text: str) -> "Ids | None":
        """The ids of `text` if they are kept."""
        with self._lock:
            if (kept := self._ids.get(text)) is not None:
                self._ids.move_to_end(text)
            return kept

    def encode(self, text: str) -> Ids:
        """The ids of `text`, which are kept from now on."""
        if (kept := self.recall(text)) is not None:
            return kept
        ids = array(_INT64, encode(text))
        with self._lock:
            self._keep(text, ids)
        return ids

    def _keep(self, text: str, ids: Ids) -> None:
        if text in self._ids:  # another thread was faster
            return
        self._ids[text] = ids
        self._bytes += _size(text, ids)
        while self._bytes > self._max_bytes:
            self._bytes -= _size(*self._ids.popitem(last=False))


def _size(text: str, ids: Ids) -> int:
    return sys.getsizeof(text) + 8 * len(ids) + _ENTRY_BYTES


_texts = EncodedTexts(MAX_BYTES)


@lru_cache(maxsize=4096)
def _word(text: str) -> Ids:
    return array(_INT64, encode(text))


def recalled(segments: Iterable[Segment]) -> list[Segment]:
    """The segments of a prompt, with the ids of each text that is short or kept in its place.

    They stay known to the caller if the text is forgotten before its `join`.
    """
    return [_recalled(each) if isinstance(each, str) else each for each in segments]


def _recalled(text: str) -> Segment:
    if len(text) <= SHORT:
        return _word(text)
    kept = _texts.recall(text)
    return text if kept is None else kept


def join(segments: Iterable[Segment]) -> Ids:
    """The ids of a prompt. Threads may call it."""
    ids = array(_INT64)
    for segment in segments:
        if isinstance(segment, int):
            ids.append(segment)
        elif isinstance(segment, str):
            ids += _word(segment) if len(segment) <= SHORT else _texts.encode(segment)
        elif isinstance(segment, array) and segment.typecode == _INT64:
            ids += segment
        else:
            ids.extend(iter(segment))  # `extend` refuses arrays of other types
    return ids

"""A completion of raw text: token ids in, text out, without Harmony.

Rule: bytes are decoded as they come, so a character that is split over tokens is never broken.
Special tokens are not text and are not shown.
"""

import codecs
from collections import Counter
from collections.abc import Sequence

from worker.harmony.events import Event, Finished, Text
from worker.harmony.vocabulary import FIRST_SPECIAL, token_bytes

_decoder = codecs.getincrementaldecoder("utf-8")


class RawText:
    """The reader (worker.turn.CompletionReader) of a text completion: all that comes is text."""

    reasoning_tokens = 0
    calls = 0
    in_text = True

    def __init__(self) -> None:
        self.recoveries: Counter[str] = Counter()
        self._table = token_bytes()
        self._decoder = _decoder("replace")

    def feed(self, ids: Sequence[int]) -> list[Event]:
        """The text that these ids complete. Raises nothing: what is no UTF-8 becomes U+FFFD."""
        table = self._table
        text = self._decoder.decode(b"".join([table[i] for i in ids if i < FIRST_SPECIAL]))
        return [Text(text)] if text else []

    def finish(self) -> list[Event]:
        """The completion is over; what is left of a broken character is shown as U+FFFD."""
        rest = self._decoder.decode(b"", final=True)
        return [*([Text(rest)] if rest else []), Finished(complete=True)]

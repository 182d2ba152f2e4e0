"""Decodes the token IDs of a raw text completion, which has no Harmony structure.

Bytes are decoded incrementally, so characters that are split across tokens come out intact.
Special tokens are dropped.
"""

import codecs
from collections import Counter
from collections.abc import Sequence

from worker.harmony.events import Event, Finished, Text
from worker.harmony.vocabulary import FIRST_SPECIAL, token_bytes

_decoder = codecs.getincrementaldecoder("utf-8")


class RawText:
    """A worker.turn.CompletionReader that treats the whole completion as text."""

    reasoning_tokens = 0
    calls = 0
    in_text = True

    def __init__(self) -> None:
        self.recoveries: Counter[str] = Counter()
        self._table = token_bytes()
        self._decoder = _decoder("replace")

    def feed(self, ids: Sequence[int]) -> list[Event]:
        """The text completed by these token IDs; invalid UTF-8 becomes U+FFFD."""
        table = self._table
        text = self._decoder.decode(b"".join([table[i] for i in ids if i < FIRST_SPECIAL]))
        return [Text(text)] if text else []

    def finish(self) -> list[Event]:
        """Ends the completion; an incomplete last character becomes U+FFFD."""
        rest = self._decoder.decode(b"", final=True)
        return [*([Text(rest)] if rest else []), Finished(complete=True)]

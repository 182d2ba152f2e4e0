"""Encodes prompts without delaying the streams that run beside them.

A long new history takes tens of milliseconds to encode, and one request of many megabytes takes
seconds. So what is long and new is encoded in a thread (tiktoken releases the GIL while it does),
and everything else is looked up.

Rule: few threads, so that long prompts wait for each other and not for the event loop; text by
text, so that the GIL is held for the ids of one text at most.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from worker.harmony.texts import EncodedTexts, Piece, encoded, joined, texts_of

_KEPT_BYTES = 64 * 2**20
"""Some 40 histories of 128,000 tokens."""
_LONG = 16_000
"""Characters of new text that are worth a thread: on the loop they take a millisecond or two."""
_THREADS = 2


class PromptEncoder:
    """Gives the token ids of composed prompts, and keeps those of their texts for later ones."""

    def __init__(self) -> None:
        self._texts = EncodedTexts(_KEPT_BYTES)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="encode")

    async def ids(self, pieces: Sequence[Piece]) -> list[int]:
        """The token ids of a prompt's pieces, in order."""
        texts = texts_of(pieces)
        found = self._texts.find(texts)
        if new := texts - found.keys():
            if sum(map(len, new)) < _LONG:
                made = encoded(new)
            else:
                loop = asyncio.get_running_loop()
                made = await loop.run_in_executor(self._threads, encoded, new)
            self._texts.keep(made)
            found |= made
        return joined(pieces, found)

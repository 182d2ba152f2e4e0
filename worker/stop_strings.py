"""Finds stop strings in the visible answer as it streams.

Rule: no part of a stop string is ever sent, however it is split across tokens. So the longest
suffix that could still become a stop string is held back.
"""

from collections.abc import Sequence


class StopStrings:
    """`feed` it text and send the text it returns, until `found` is set."""

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = strings
        self._pending = ""
        self.found: str | None = None

    def feed(self, text: str) -> str:
        """Takes more text; returns the text that can be sent now."""
        text = self._pending + text
        found = [(text.find(s) + len(s), text.find(s), s) for s in self._strings if s in text]
        if found:
            # The one that is complete first, as if characters arrived one by one.
            _, start, self.found = min(found)
            self._pending = ""
            return text[:start]
        keep = max(_overlap(text, string) for string in self._strings)
        self._pending = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """Returns the text held back, once no more text can follow."""
        pending, self._pending = self._pending, ""
        return pending


def _overlap(text: str, string: str) -> int:
    """The length of the longest suffix of `text` that is a proper prefix of `string`."""
    longest = min(len(text), len(string) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(string[:n])), 0)

"""Stop strings, found in the visible answer as it streams.

Rule: a stop string is never sent, nor is any part of it, however it is split over tokens; so the
longest tail that could still become one is held back.
"""

from collections.abc import Sequence


class StopStrings:
    """`feed` text in, text to send out, until one is `found`; then nothing more comes."""

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = strings
        self._held = ""
        self.found: str | None = None

    def feed(self, text: str) -> str:
        """Takes a piece of the answer; returns the piece that can be sent now."""
        text = self._held + text
        found = [(text.find(s) + len(s), text.find(s), s) for s in self._strings if s in text]
        if found:
            # The first to be complete, as if characters came one by one.
            _, start, self.found = min(found)
            self._held = ""
            return text[:start]
        keep = max(_overlap(text, string) for string in self._strings)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What was held back, when no more can follow it."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, string: str) -> int:
    """Length of the longest tail of `text` that begins `string` but is not all of it."""
    longest = min(len(text), len(string) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(string[:n])), 0)

"""The words of a Harmony header: how its text falls into them, and what each can be by itself.

Rule: bytes, not characters, are split, since a character may be split over tokens and what proves
to be no header goes to the body untouched.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from worker.harmony.vocabulary import CHANNEL, CONSTRAIN, START

ASSISTANT = "assistant"
CHANNELS = frozenset({"analysis", "commentary", "final"})
CONTENT_TYPES = frozenset({"json", "code", "text", "javascript", "typescript", "string"})
FOREIGN_ROLES = frozenset({"user", "system", "developer", "tool"})

BRACKET = re.compile(rb"[{\[(]")
"""What no word of a header has: the arguments begin."""
_CHANNEL = re.compile(rb"\s*(analysis|commentary|final)(?![_\-])", re.IGNORECASE)
_ROLE = re.compile(rb"\s*(assistant)(?=[^\s:=._\-/]|[:=._\-/]\W)")
"""The role, where text sticks to it (`assistantThe answer`); a name may (`assistant:anna`)."""
_WORD = re.compile(
    rb"assistant(?=analysis|commentary|final)|(?<=assistant)(?:analysis|commentary|final)"
    rb"|to=(?:(?!to=)[^\s{\[(])*"
    rb"|[^\s{\[(]+?(?=to=|[\s{\[(]|\Z)"
)


_PLAIN = re.compile(rb"[a-zA-Z0-9_.\-= ]*")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]")
_TO = re.compile(r"to\W{0,4}?[=:]\W{0,4}(?=\w)", re.IGNORECASE)
_IN_CHANNELS_PLACE = re.compile("analysis|commentary|final", re.IGNORECASE)


def loosened(data: bytes) -> bytes:
    """A header's text without invisible characters, and with `To =`, `to:`, `to=?` as `to=`."""
    if _PLAIN.fullmatch(data):
        return data
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", data.decode("utf-8", "replace")))
    return _TO.sub(" to=", text).encode()


class Word(NamedTuple):
    """A word of a header: its text, the marker before it, its place after that marker, its end.

    `marker` is 0 where the role stands.
    """

    text: str
    marker: int
    place: int
    start: int
    end: int

    @property
    def recipient(self) -> str | None:
        return self.text[3:] if self.text.startswith("to=") else None

    @property
    def channel(self) -> str | None:
        """The channel that the word names: one of Harmony's, in any case, in any place."""
        return self.text.lower() if self.text.lower() in CHANNELS else None

    @property
    def loose_channel(self) -> str | None:
        """The same, and in a channel's place one with anything around it: `??analysis`."""
        if self.channel or self.marker != CHANNEL:
            return self.channel
        found = _IN_CHANNELS_PLACE.findall(self.text) if self.recipient is None else ()
        named = [name.lower() for name in found]
        return "analysis" if "analysis" in named else next(iter(named), None)

    @property
    def names_channel(self) -> bool:
        """Whether the word stands where a channel's name does."""
        return self.marker == CHANNEL and self.place == 0

    @property
    def content_type(self) -> str | None:
        text = self.text.lower()
        return text if self.marker == CONSTRAIN or text in CONTENT_TYPES else None


@lru_cache(maxsize=1024)
def split(data: bytes, marker: int) -> Sequence[Word]:
    """The words of the text after `marker`, 0 or START where the role stands. A channel's name
    and, after START, the role end where they are known.

    Headers are alike, so what was split is kept: each is looked at more than once as it is.
    """
    at, words = 0, list[Word]()
    known = _CHANNEL if marker == CHANNEL else _ROLE if marker == START else None
    marker = 0 if marker == START else marker
    if known and (first := known.match(data)):
        at = first.end()
        words.append(Word(first[1].decode(), marker, 0, first.start(1), at))
    for found in _WORD.finditer(data, at):
        text = found.group().decode("utf-8", "replace")
        words.append(Word(text, marker, len(words), found.start(), found.end()))
    return tuple(words)

"""The words of a Harmony header: how its text is split into words, and what each one can mean.

Rule: bytes are split, not characters, since a character may be split across tokens, and text that
turns out not to be a header must reach the body unchanged.
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
"""Not part of any header word: the arguments begin."""
_CHANNEL = re.compile(rb"\s*(analysis|commentary|final)(?![_\-])", re.IGNORECASE)
_ROLE = re.compile(rb"\s*(assistant)(?=[^\s:=._\-/]|[:=._\-/]\W)")
"""The role with text directly after it (`assistantThe answer`), but not a name
(`assistant:anna`)."""
_WORD = re.compile(
    rb"assistant(?=analysis|commentary|final)|(?<=assistant)(?:analysis|commentary|final)"
    rb"|to=(?:(?!to=)[^\s{\[(])*"
    rb"|[^\s{\[(]+?(?=to=|[\s{\[(]|\Z)"
)


_PLAIN = re.compile(rb"[a-zA-Z0-9_.\-= ]*")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]")
_TO = re.compile(r"to\W{0,4}?[=:]\W{0,4}(?=\w)", re.IGNORECASE)
_IN_CHANNELS_PLACE = re.compile("analysis|commentary|final", re.IGNORECASE)


def normalized(data: bytes) -> bytes:
    """A header's text in NFKC, without invisible characters, and with `To =`, `to:` and `to=?` as
    `to=`."""
    if _PLAIN.fullmatch(data):
        return data
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", data.decode("utf-8", "replace")))
    return _TO.sub(" to=", text).encode()


class Word(NamedTuple):
    """A word of a header.

    `marker`: the marker before it, or 0 for the role. `place`: its index after that marker.
    `start`, `end`: its byte offsets in the text after that marker.
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
        """The Harmony channel that the word names, in any case and any position."""
        return self.text.lower() if self.text.lower() in CHANNELS else None

    @property
    def loose_channel(self) -> str | None:
        """Like `channel`; after `<|channel|>`, also with anything around the name: `??analysis`."""
        if self.channel or self.marker != CHANNEL:
            return self.channel
        found = _IN_CHANNELS_PLACE.findall(self.text) if self.recipient is None else ()
        named = [name.lower() for name in found]
        return "analysis" if "analysis" in named else next(iter(named), None)

    @property
    def in_channel_position(self) -> bool:
        """Whether the word is the first one after `<|channel|>`."""
        return self.marker == CHANNEL and self.place == 0

    @property
    def content_type(self) -> str | None:
        text = self.text.lower()
        return text if self.marker == CONSTRAIN or text in CONTENT_TYPES else None


@lru_cache(maxsize=1024)
def split_words(data: bytes, marker: int) -> Sequence[Word]:
    """The words of the text after `marker`, which is 0 or START for the role. A channel's name and,
    after START, the role end as soon as they are recognized, even without a space.

    Cached, since headers are alike and each is split more than once.
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

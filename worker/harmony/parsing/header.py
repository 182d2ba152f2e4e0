"""A Harmony message's header as it arrives, and where it ends.

Well-formed: `<|start|>ROLE[ to=RECIPIENT]<|channel|>CHANNEL[ to=RECIPIENT][ <|constrain|>TYPE]
<|message|>`. What begins at a marker is a header until `<|message|>`:

            an expected word                      an unexpected word (junk, or text?)
    HEADER ───────────────────────▶ HEADER   ───────────────────────────────────▶ UNDECIDED
       │ <|message|>: its body begins           │ <|message|>, <|constrain|>: all of it was the
       │ `{"`, `[`, `{}`: a body without one    │   header's; known words keep their meaning, the
       │ an end: a header without a body        │   others are dropped
       ▼                                        │ an end, <|start|>, or over _UNDECIDED_LIMIT bytes:
      BODY                                      ▼   from the first unexpected word on it was text

Example: of `commentary? to=functions.f <|constrain|>json<|message|>` the `?` is dropped; of
`final The answer is 4.<|return|>` the text is `The answer is 4.`. Well-formed output is never
undecided. In the role's place, `<|channel|>` decides too: one unexpected word is junk, several are
text. Each token is judged as it arrives, so the result does not depend on how the ids are split.
"""

import re
from enum import Enum, auto

from worker.harmony.parsing.address import Address, Reader
from worker.harmony.parsing.header_words import (
    ASSISTANT,
    BRACKET,
    CHANNELS,
    CONTENT_TYPES,
    FOREIGN_ROLES,
    Word,
    normalized,
    split_words,
)
from worker.harmony.tool_names import PYTHON, ToolNames, is_namespaced
from worker.harmony.vocabulary import CHANNEL, CONSTRAIN, START

_LIMIT = 512
"""The most bytes after one marker that can be a header; anything longer is text."""
_UNDECIDED_LIMIT = 160
"""Bytes from an unexpected word on for which the next marker is awaited: about 40 tokens."""
_MARKERS = 8
"""The most markers that a header can have."""
_USUAL = re.compile(
    rb"(?:assistant|analysis|commentary|final)?(?: to=[\w.\-]{,64})?(?: json| code)? ?|json|code"
)
"""What most headers have after a marker. A match needs no closer look: the header goes on."""
_UNMARKED_LIMIT, _UNMARKED_WORDS = 64, 2
"""Limits for text that no marker precedes: with more bytes or unexpected words it is text."""
_JSON = re.compile(rb"""\{\s*"[^"\\]*"\s*:|\[\s*\{\s*"\w""")
"""An unmistakable beginning of arguments; a stray `{`, `{}` or `{"` can also occur in a header."""
_CALL_HINT = re.compile(rb"functions?\b|\bto\b.*=", re.DOTALL)
_LETTER = re.compile(rb"[0-9A-Za-z\x80-\xff]")
_TYPED_MARKER = re.compile(rb"<\|\w*\|>")
_UNFINISHED_MARKER = re.compile(rb"<(?:\|\w*\|?)?\Z")
_NAME_LIKE = re.compile(r"[\w.\-/:]+")
_KNOWN = CONTENT_TYPES | CHANNELS | FOREIGN_ROLES | {ASSISTANT, PYTHON}
_BEGINNINGS = (*_KNOWN, "to=", "functions.", "browser.")


class Origin(Enum):
    """Where a header begins, which determines how much of it can be missing."""

    PROMPT = auto()
    """The prompt ended in `<|start|>assistant`."""
    START = auto()
    """After `<|start|>`."""
    LOOSE = auto()
    """After a closed message, without `<|start|>`."""
    BODY = auto()
    """At a marker inside a body."""


class After(Enum):
    """What follows a header that ends without `<|message|>`."""

    TEXT = auto()
    BRACKET = auto()
    END = auto()


class Header:
    """Call `add_marker` and `add_text` as tokens arrive; `address` then interprets the words.

    `certain`: for a header that ended without `<|message|>`, whether it was a header at all.
    """

    def __init__(self, origin: Origin, tools: ToolNames, *, after_call: bool = False) -> None:
        self.origin = origin
        self.certain = False
        self._tools = tools
        self._after_call = after_call
        self._before: list[tuple[int, bytes]] = []  # the markers before the last, and their text
        self._marker = START if origin is Origin.START else 0
        self._data = b""  # after the last marker

    def add_marker(self, marker: int) -> None:
        self._before.append((self._marker, self._data))
        self._marker, self._data = marker, b""

    def add_text(self, data: bytes) -> bytes | None:
        """Takes a token's bytes; returns the body's first bytes if the header is over, or None."""
        self._data += data
        if _USUAL.fullmatch(self._data):
            return None
        if self._marked and b"<" in self._data:
            self._data = _TYPED_MARKER.sub(b" ", self._data)
            if _UNFINISHED_MARKER.search(self._data) and len(self._data) <= _LIMIT:
                return None
        begin = self._body_begins()
        words = list(split_words(self._data[:begin], self._marker))
        if odd := self._unexpected(self._data[:begin]):
            first = odd[0]
            undecided = self._is_undecided(words[first].start)
            return None if undecided else self._end_after(words[:first], After.TEXT)
        if begin is not None:
            return self._end_after(words, After.BRACKET)
        return self._end_after(words, After.TEXT) if len(self._data) > _LIMIT else None

    def _body_begins(self) -> int | None:
        """Where arguments begin without `<|message|>`; None if nowhere, or if it may be junk."""
        bracket = BRACKET.search(self._data)
        return bracket.start() if bracket and _JSON.match(self._data, bracket.start()) else None

    def _unexpected(self, data: bytes) -> list[int]:
        """The indices of the words after the last marker that no header has."""
        words = split_words(data, self._marker)
        return [at for at, word in enumerate(words) if not self._is_expected(word, len(data))]

    def _is_undecided(self, start: int) -> bool:
        """Whether the text from an unexpected word on may still turn out to be the header's.

        Text that no marker precedes (`It is sunny.`) stays undecided for a few words only.
        """
        undecided = self._data[start:]
        if self.origin in (Origin.LOOSE, Origin.BODY) and self._marker == 0:
            return False
        if self._marked:
            return len(undecided) <= _UNDECIDED_LIMIT
        if _CALL_HINT.search(undecided) or not _LETTER.search(undecided):
            return len(undecided) <= _UNDECIDED_LIMIT
        odd = min(len(self._unexpected(data)) for data in (undecided, normalized(undecided)))
        return len(undecided) <= _UNMARKED_LIMIT and odd <= _UNMARKED_WORDS

    @property
    def is_text(self) -> bool:
        """Whether the text in the role's place can only be text when `<|channel|>` follows."""
        if self._before or self.names_recipient or _CALL_HINT.search(self._data):
            return False
        recipients = [
            word.recipient for word in split_words(normalized(self._data), 0) if word.recipient
        ]
        if any(map(self._tools.offers, recipients)):
            return False
        words = split_words(self._data, self._marker)
        odd = [words[at].text for at in self._unexpected(self._data)]
        return sum(any(map(str.isalnum, text)) for text in odd) > 1  # punctuation is junk: ` }),`

    def end(self, *, natural: bool) -> bytes:
        """Ends a header without a body; returns the bytes that turn out to be text.

        `natural`: a marker ended it. Otherwise a limit did, and the last word may be incomplete.
        """
        words = list(split_words(self._data, self._marker))
        if odd := self._unexpected(self._data):
            return self._end_after(words[: odd[0]], After.TEXT)
        bracket = BRACKET.search(self._data)
        if bracket:
            words = list(split_words(self._data[: bracket.start()], self._marker))
            return self._end_after(words, After.BRACKET)
        if not natural and words and self._is_cut(words[-1]):
            self._data = self._data[: words.pop().start]
        return self._end_after(words, After.END)

    def address(self) -> Address:
        """Whose message follows, and whether it is reasoning, text or a call.

        Example: `<|channel|>commentary to=functions.get_weather <|constrain|>json` becomes
        `Address(Kind.CALL, "get_weather", "commentary")`. If `get_weather` is on offer, so does the
        malformed `<|channel|>final? to: Get Weather() <|constrain|>json`.
        """
        parts = [*self._before, (self._marker, self._data)]
        role_is_given = self.origin is Origin.PROMPT
        return Reader(
            parts, self._tools, after_call=self._after_call, role_is_given=role_is_given
        ).address()

    @property
    def has_junk(self) -> bool:
        """Whether it contains meaningless words."""
        return any(not self._is_expected(word, len(self._data)) for word in self._all_words())

    @property
    def misuses_type(self) -> bool:
        """Whether `<|constrain|>` has prose after it: `<|constrain|>write: edit the file`."""
        return self._marker == CONSTRAIN and bool(self._unexpected(self._data))

    @property
    def empty(self) -> bool:
        """Whether nothing has arrived after its `<|start|>`, if it had one."""
        return not self._before and not self._data.strip()

    @property
    def blank(self) -> bool:
        """Whether nothing has arrived at all, not even `<|start|>`."""
        return self.empty and self.origin is Origin.LOOSE

    @property
    def lacks_channel(self) -> bool:
        """Whether its last marker is `<|channel|>`, with no name after it yet."""
        return self._marker == CHANNEL and not self._data.strip()

    @property
    def full(self) -> bool:
        return len(self._before) >= _MARKERS

    @property
    def names_recipient(self) -> bool:
        return any(word.recipient is not None for word in self._all_words())

    @property
    def names_channel_or_recipient(self) -> bool:
        return any(w.channel or w.recipient is not None for w in self._all_words())

    @property
    def text(self) -> bytes:
        """All of its text, without the markers."""
        return b"".join((*(data for _, data in self._before), self._data))

    @property
    def _marked(self) -> bool:
        """Whether a marker precedes the current text."""
        return self._marker != 0

    def _all_words(self) -> list[Word]:
        return [*self._words_before(), *split_words(self._data, self._marker)]

    def _words_before(self) -> list[Word]:
        """The words before the last marker."""
        return [word for marker, data in self._before for word in split_words(data, marker)]

    def _is_expected(self, word: Word, end: int) -> bool:
        """Whether a header can have this word, or at the text's `end`, a word that begins so."""
        is_name = (word.place == 0 and self._marked) or (word.place == 1 and word.marker == CHANNEL)
        if is_name and _NAME_LIKE.fullmatch(word.text):
            return True
        is_partial = word.end == end and self._may_be_partial(word)
        return word.recipient is not None or self._is_known(word) or is_partial

    def _may_be_partial(self, word: Word) -> bool:
        """Whether a known header word begins with this word."""
        return any(name.startswith(word.text) for name in (*_BEGINNINGS, *self._tools.names))

    def _is_cut(self, word: Word) -> bool:
        """Whether a limit may have cut off the last word."""
        if word.end < len(self._data):
            return False
        if self._marked:
            return word.place == 0 or word.recipient is not None or self._may_be_partial(word)
        return word.recipient is not None

    def _is_known(self, word: Word) -> bool:
        text = word.text
        return text in _KNOWN or text.lower() in CONTENT_TYPES or self._tools.is_tool(text)

    def _is_certain(self, word: Word) -> bool:
        """Whether a word can only be a header's."""
        if word.recipient is not None:
            return self._marked or bool(self._before) or self._tools.is_tool(word.recipient)
        if word.marker == CONSTRAIN:
            return word.place == 0 and word.text.lower() in CONTENT_TYPES
        if word.marker == CHANNEL or self.origin is Origin.START:
            return word.place == 0 and self._is_name(word)
        is_role = word.text == ASSISTANT and word.place == 0
        return is_role and self.origin is not Origin.PROMPT

    def _is_name(self, word: Word) -> bool:
        """Whether a word names a channel or a namespaced tool, or in the role's place, a role."""
        is_role = word.marker == 0 and word.text in (ASSISTANT, *FOREIGN_ROLES)
        return is_role or word.channel is not None or is_namespaced(word.text)

    def _belongs_to_header(self, word: Word, before: list[Word], after: After) -> bool:
        """Whether the last word of a header without `<|message|>` is the header's, not text."""
        if self._is_certain(word):
            return True
        kept = word.content_type or word.recipient is not None or after is After.BRACKET
        if kept and any(w.recipient for w in before):
            return True
        if after is After.END and word.content_type and before[-1:]:
            return before[-1].channel == "commentary"
        if word.marker == 0 and word.channel and before[-1:] and before[-1].text == ASSISTANT:
            return True
        if after is After.BRACKET:
            is_call = word.recipient is not None or self._tools.is_tool(word.text)
            return is_call or (self._marked and self._is_known(word))
        return after is After.END and not self._marked and _stands_alone(word)

    def _end_after(self, words: list[Word], after: After) -> bytes:
        """Ends the header after the last word that belongs to it; returns the bytes after it."""
        while words and not self._belongs_to_header(
            words[-1], [*self._words_before(), *words[:-1]], after
        ):
            words.pop()
        self.certain = bool(words) or any(map(self._is_certain, self._words_before()))
        end = words[-1].end if words else 0
        rest, self._data = self._data[end:], self._data[:end]
        return rest


def _stands_alone(word: Word) -> bool:
    """Whether a lone word is Harmony's rather than a one-word answer."""
    return word.text == ASSISTANT or word.channel is not None

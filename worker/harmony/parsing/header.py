"""A Harmony message's header while it comes in, and where it ends.

Well-formed: `<|start|>ROLE[ to=RECIPIENT]<|channel|>CHANNEL[ to=RECIPIENT][ <|constrain|>TYPE]
<|message|>`. What begins at a marker is a header until `<|message|>`:

            a word that may stand                 an unexpected word (junk, or text?)
    HEADER ───────────────────────▶ HEADER   ───────────────────────────────────▶ HELD
       │ <|message|>: its body begins           │ <|message|>, <|constrain|>: all of it was the
       │ `{"`, `[`, `{}`: a body without one    │   header's; known words keep their meaning, the
       │ an end: a header without a body        │   others mean nothing and are shown to no one
       ▼                                        │ an end, <|start|>, or more than HELD bytes:
      BODY                                      ▼   from the first unexpected word on it was text

Example: of `commentary? to=functions.f <|constrain|>json<|message|>` the `?` is dropped; of
`final The answer is 4.<|return|>` the text is `The answer is 4.`. Well-formed output is never
held. Where the role stands, `<|channel|>` decides as well: one word is junk, several are text.
It is judged token by token, so any split of the ids reads the same.
"""

import re
from enum import Enum, auto

from worker.harmony.parsing.address import Address, Reader
from worker.harmony.parsing.words import (
    ASSISTANT,
    BRACKET,
    CHANNELS,
    CONTENT_TYPES,
    FOREIGN_ROLES,
    Word,
    loosened,
    split,
)
from worker.harmony.tool_names import PYTHON, ToolNames, is_namespaced
from worker.harmony.vocabulary import CHANNEL, CONSTRAIN, START

_LIMIT = 512
"""Bytes after one marker that can be a header: more is text, whatever it looks like."""
HELD = 160
"""Bytes from an unexpected word on that wait for the next marker: some 40 tokens."""
_MARKERS = 8
"""Markers that a header can have before it is full."""
_USUAL = re.compile(
    rb"(?:assistant|analysis|commentary|final)?(?: to=[\w.\-]{,64})?(?: json| code)? ?|json|code"
)
"""What most headers hold after a marker: not over yet, without a closer look."""
_UNMARKED, _UNMARKED_WORDS = 64, 2
"""Bytes and words of text that no marker announced, after which it is text."""
_JSON = re.compile(rb"""\{\s*"[^"\\]*"\s*:|\[\s*\{\s*"\w""")
"""How arguments begin beyond doubt: a stray `{`, `{}` or `{"` may stand in a header, too."""
_OF_A_CALL = re.compile(rb"functions?\b|\bto\b.*=", re.DOTALL)
_LETTER = re.compile(rb"[0-9A-Za-z\x80-\xff]")
_TYPED_MARKER = re.compile(rb"<\|\w*\|>")
_UNFINISHED_MARKER = re.compile(rb"<(?:\|\w*\|?)?\Z")
_NAME_LIKE = re.compile(r"[\w.\-/:]+")
_KNOWN = CONTENT_TYPES | CHANNELS | FOREIGN_ROLES | {ASSISTANT, PYTHON}
_BEGINNINGS = (*_KNOWN, "to=", "functions.", "browser.")


class Origin(Enum):
    """Where a header begins, which decides how much of it can be missing."""

    PROMPT = auto()
    """The prompt ended in `<|start|>assistant`."""
    START = auto()
    """After `<|start|>`."""
    LOOSE = auto()
    """After a closed message, without `<|start|>`."""
    BODY = auto()
    """At a marker in the middle of a body."""


class After(Enum):
    """What comes where a header ends without `<|message|>`."""

    TEXT = auto()
    BRACKET = auto()
    END = auto()


class Header:
    """`add_marker` and `add_text` as they come; then `address` says what the words mean.

    `certain`: of a header that ended without `<|message|>`, whether it was one at all.
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
        """Takes a token's bytes; returns the body's first bytes if the header is over."""
        self._data += data
        if _USUAL.fullmatch(self._data):
            return None
        if self._marked and b"<" in self._data:
            self._data = _TYPED_MARKER.sub(b" ", self._data)
            if _UNFINISHED_MARKER.search(self._data) and len(self._data) <= _LIMIT:
                return None
        begin = self._body_begins()
        words = list(split(self._data[:begin], self._marker))
        if odd := self._unexpected(self._data[:begin]):
            first = odd[0]
            holds = self._holds(words[first].start)
            return None if holds else self._over(words[:first], After.TEXT)
        if begin is not None:
            return self._over(words, After.BRACKET)
        return self._over(words, After.TEXT) if len(self._data) > _LIMIT else None

    def _body_begins(self) -> int | None:
        """Where arguments begin that no `<|message|>` announces; None also while it may be junk."""
        bracket = BRACKET.search(self._data)
        return bracket.start() if bracket and _JSON.match(self._data, bracket.start()) else None

    def _unexpected(self, data: bytes) -> list[int]:
        """Which words after the last marker no header has."""
        words = split(data, self._marker)
        return [at for at, word in enumerate(words) if not self._may_stand(word, len(data))]

    def _holds(self, start: int) -> bool:
        """Whether what begins with an unexpected word may still prove to be the header's.

        Text that no marker announced (`It is sunny.`) waits for a few words alone.
        """
        held = self._data[start:]
        if self.origin in (Origin.LOOSE, Origin.BODY) and self._marker == 0:
            return False
        if self._marked:
            return len(held) <= HELD
        if _OF_A_CALL.search(held) or not _LETTER.search(held):
            return len(held) <= HELD
        odd = min(len(self._unexpected(data)) for data in (held, loosened(held)))
        return len(held) <= _UNMARKED and odd <= _UNMARKED_WORDS

    @property
    def is_text(self) -> bool:
        """Whether what stands in the role's place can only be text, when `<|channel|>` comes."""
        if self._before or self.names_recipient or _OF_A_CALL.search(self._data):
            return False
        meant = [word.recipient for word in split(loosened(self._data), 0) if word.recipient]
        if any(map(self._tools.offers, meant)):
            return False
        words = split(self._data, self._marker)
        odd = [words[at].text for at in self._unexpected(self._data)]
        return sum(any(map(str.isalnum, text)) for text in odd) > 1  # signs are junk: ` }),`

    def end(self, *, natural: bool) -> bytes:
        """No body comes: returns the words that prove to be text.

        `natural`: a marker ends it; else a limit does, and the last word may be half a word.
        """
        words = list(split(self._data, self._marker))
        if odd := self._unexpected(self._data):
            return self._over(words[: odd[0]], After.TEXT)
        bracket = BRACKET.search(self._data)
        if bracket:
            words = list(split(self._data[: bracket.start()], self._marker))
            return self._over(words, After.BRACKET)
        if not natural and words and self._is_cut(words[-1]):
            self._data = self._data[: words.pop().start]
        return self._over(words, After.END)

    def address(self) -> Address:
        parts = [*self._before, (self._marker, self._data)]
        ours = self.origin is Origin.PROMPT
        return Reader(parts, self._tools, after_call=self._after_call, ours=ours).address()

    @property
    def has_junk(self) -> bool:
        """Whether it holds words that mean nothing."""
        return any(not self._may_stand(word, len(self._data)) for word in self._all_words())

    @property
    def misuses_type(self) -> bool:
        """Whether `<|constrain|>` has prose after it: `<|constrain|>write: edit the file`."""
        return self._marker == CONSTRAIN and bool(self._unexpected(self._data))

    @property
    def empty(self) -> bool:
        """Whether nothing but its `<|start|>` has come of it, if that."""
        return not self._before and not self._data.strip()

    @property
    def blank(self) -> bool:
        """Whether nothing has come of it at all."""
        return self.empty and self.origin is Origin.LOOSE

    @property
    def lacks_channel(self) -> bool:
        """Whether `<|channel|>` came last, and no name after it."""
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
        """All that came, without the markers."""
        return b"".join((*(data for _, data in self._before), self._data))

    @property
    def _marked(self) -> bool:
        """Whether a marker said that this is a header, not plain text."""
        return self._marker != 0

    def _all_words(self) -> list[Word]:
        return [*self._words_before(), *split(self._data, self._marker)]

    def _words_before(self) -> list[Word]:
        """The words before the last marker."""
        return [word for marker, data in self._before for word in split(data, marker)]

    def _may_stand(self, word: Word, end: int) -> bool:
        """Whether a word, or at the text's `end` the beginning of one, can be the header's."""
        is_name = (word.place == 0 and self._marked) or (word.place == 1 and word.marker == CHANNEL)
        if is_name and _NAME_LIKE.fullmatch(word.text):
            return True
        grows = word.end == end and self._may_grow(word)
        return word.recipient is not None or self._is_known(word) or grows

    def _may_grow(self, word: Word) -> bool:
        """Whether a word can be the beginning of one that a header has."""
        return any(name.startswith(word.text) for name in (*_BEGINNINGS, *self._tools.names))

    def _is_cut(self, word: Word) -> bool:
        """Whether a limit may have cut the last word."""
        if word.end < len(self._data):
            return False
        if self._marked:
            return word.place == 0 or word.recipient is not None or self._may_grow(word)
        return word.recipient is not None

    def _is_known(self, word: Word) -> bool:
        text = word.text
        return text in _KNOWN or text.lower() in CONTENT_TYPES or self._tools.is_tool(text)

    def _is_certain(self, word: Word) -> bool:
        """Whether a word can be nothing but a header's."""
        if word.recipient is not None:
            return self._marked or bool(self._before) or self._tools.is_tool(word.recipient)
        if word.marker == CONSTRAIN:
            return word.place == 0 and word.text.lower() in CONTENT_TYPES
        if word.marker == CHANNEL or self.origin is Origin.START:
            return word.place == 0 and self._is_name(word)
        is_role = word.text == ASSISTANT and word.place == 0
        return is_role and self.origin is not Origin.PROMPT

    def _is_name(self, word: Word) -> bool:
        """Whether a word is a channel's, or where the role stands a role's, or in a namespace."""
        is_role = word.marker == 0 and word.text in (ASSISTANT, *FOREIGN_ROLES)
        return is_role or word.channel is not None or is_namespaced(word.text)

    def _is_own(self, word: Word, before: list[Word], after: After) -> bool:
        """Whether the last word of a header without `<|message|>` is its own, not text."""
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

    def _over(self, words: list[Word], after: After) -> bytes:
        """Ends the header after the last word that is its own; returns what comes after it."""
        while words and not self._is_own(words[-1], [*self._words_before(), *words[:-1]], after):
            words.pop()
        self.certain = bool(words) or any(map(self._is_certain, self._words_before()))
        end = words[-1].end if words else 0
        rest, self._data = self._data[end:], self._data[:end]
        return rest


def _stands_alone(word: Word) -> bool:
    """Whether a word with nothing after it is Harmony's rather than an answer of one word."""
    return word.text == ASSISTANT or word.channel is not None

"""What a header's words say: whose message it is, and whether it reasons, tells or calls.

Rules:
- The recipient, wherever it stands, decides what is a call; a known word keeps its meaning in any
  place; other words mean nothing. A channel of an unknown name is told to the user.
- A channel's name with anything around it (`??analysis`, `final.`) is that channel; where
  `analysis` can be read after the last `<|channel|>`, it is reasoning, whatever else is.
- A recipient is the tool on offer that it names at its loosest, if it is exactly one (`To: Get
  Weather()`); else it is as written, and never empty.
- Words that Harmony itself uses (`json`, `final`, `assistant`) name a tool only after `to=`.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from worker.harmony.events import Channel, Kind
from worker.harmony.parsing.words import (
    ASSISTANT,
    CHANNELS,
    CONTENT_TYPES,
    FOREIGN_ROLES,
    Word,
    loosened,
    split,
)
from worker.harmony.tool_names import PYTHON, ToolNames
from worker.harmony.vocabulary import CHANNEL

FUNCTIONS = "functions"
_NOBODY = CHANNELS | CONTENT_TYPES | FOREIGN_ROLES | {ASSISTANT, FUNCTIONS, "all", ""}
"""Recipients that are no tools, unless a tool has that name."""


RESERVED = CHANNELS | CONTENT_TYPES | FOREIGN_ROLES | {ASSISTANT, FUNCTIONS, ""}
"""Words of Harmony's own: without `to=` they are no tool's name, whatever is on offer."""
_NAME = re.compile(r"\w[\w.\-/:]*")
_COMPOUND = re.compile(r"[A-Za-z0-9]+(?:[_.\-/:][A-Za-z0-9]+)+")
_OF_A_CALL = re.compile(r"functions?\b|\btools?[./]|\bto\b", re.IGNORECASE)


class Address(NamedTuple):
    """What a header says. `name`: the tool that is called. `channel`: the one that it names, or if
    such a message has no place on that one (a call on `final`), the one where it belongs."""

    kind: Kind
    name: str = ""
    channel: Channel = "final"

    def is_same_message(self, other: "Address") -> bool:
        """Whether a second header with this address can be the rest of the first."""
        return (self.kind, self.name) == (other.kind, other.name)


class Reader:
    """Reads one header's words. `after_call`: the completion has made a call already. `ours`: the
    prompt has said `<|start|>assistant`, so that no other role can follow."""

    def __init__(
        self,
        parts: Sequence[tuple[int, bytes]],
        tools: ToolNames,
        *,
        after_call: bool,
        ours: bool = False,
    ) -> None:
        """`parts`: the header's markers (0 or START: the role's place), and the text after each."""
        words: list[Word] = []
        self._in_place: Sequence[Word] = ()  # the words in the channel's place
        for marker, data in parts:
            found = split(loosened(data), marker)
            words += found
            self._in_place = found if marker == CHANNEL else self._in_place
        self._words = words
        self._tools = tools
        self._after_call = after_call
        self._ours = ours
        self._role = self._role_of(words[0]) if words else ""
        self._recipients = [w.recipient for w in words if w.recipient is not None]
        self._channels = self._channels_of(words)
        self._types = [w.content_type for w in words if w.content_type]

    def address(self) -> Address:
        """What the header says, however malformed."""
        name = self._called()
        if self._is_foreign(name):
            return Address(Kind.FOREIGN)
        if name is not None:
            # The built-in `python` is called on analysis, functions on commentary.
            on_analysis = self._channels[-1:] == ["analysis"]
            return Address(Kind.CALL, name, "analysis" if on_analysis else "commentary")
        read = any("analysis" in word.text.lower() for word in self._in_place)
        if read or self._channels[-1:] == ["analysis"]:
            return Address(Kind.REASONING, channel="analysis")
        is_preamble = self._channels[-1:] == ["commentary"]
        return Address(Kind.TEXT, channel="commentary" if is_preamble else "final")

    def _role_of(self, first: Word) -> str:
        """The role that the first word names, without the name after it (`user:anna`)."""
        if first.marker != 0 or first.recipient is not None:
            return ""
        return first.text if self._is_tool(first.text) else re.sub(r"\W.*", "", first.text)

    def _is_foreign(self, name: str | None) -> bool:
        """Whether the message is a tool's, a user's, or one that the model made up for them."""
        from_tool = self._is_tool(self._role)
        if ASSISTANT in self._recipients:
            ours = self._role in ("", ASSISTANT)
            return not ours or (self._after_call and self._channels[-1:] != ["final"])
        if from_tool:
            return self._after_call and not self._types
        foreign = self._role in FOREIGN_ROLES and not self._ours
        return foreign and (self._after_call or name is None)

    def _channels_of(self, words: Sequence[Word]) -> list[str]:
        """The channels that are named; at their loosest only if none is named as it should be."""
        exact = [w.channel for w in words if w.channel]
        offered = self._tools.offers
        return exact or [w.loose_channel for w in words if w.loose_channel and not offered(w.text)]

    def _called(self) -> str | None:
        """The name of the tool that is called, or None if this is no call."""
        addressed = [r for r in self._recipients if self._can_be_called(r)]
        offered = [r for r in addressed if self._tools.offers(r)]
        if offered:
            return self._tools.resolve(offered[-1])
        if loosely := self._loosely_called(addressed):
            return loosely
        for recipients in (addressed, self._bare_recipients()):
            offered = [r for r in recipients if self._tools.offers(r)]
            if recipients:
                return self._tools.resolve((offered or recipients)[-1])
        to_functions = any(r.rstrip(".") == FUNCTIONS for r in self._recipients)
        in_json = self._channels[-1:] == ["commentary"] and "json" in self._types
        if (to_functions or in_json) and len(self._tools.names) == 1:
            return self._tools.names[0]  # a call is meant, and it can be no other
        return FUNCTIONS if to_functions else None

    def _loosely_called(self, addressed: Sequence[str]) -> str | None:
        """The one tool that the header names with something in between: `to=functions .get`,
        `toX=functions.get`."""
        said = [w.text for w in self._words if not w.channel and w.content_type is None]
        text = " ".join(said)
        meant = addressed or FUNCTIONS in self._recipients or _OF_A_CALL.search(text)
        return self._tools.named_in(text.replace("to=", " ")) if meant else None

    def _can_be_called(self, recipient: str) -> bool:
        name = self._tools.resolve(recipient)
        return name not in _NOBODY or (bool(name) and self._tools.is_tool(recipient))

    def _bare_recipients(self) -> list[str]:
        """Words that can only be a recipient, though they have no `to=`."""
        channel = self._channels[-1] if self._channels else ""
        return [w.text for w in self._words if self._is_bare_recipient(w, channel)]

    def _is_bare_recipient(self, word: Word, channel: str) -> bool:
        if word.text.lower() in RESERVED or word.recipient is not None:
            return False
        if self._tools.resolve(word.text) in RESERVED and not self._tools.offers(word.text):
            return False  # `functions.analysis`
        if self._is_tool(word.text):
            return not (word.text == PYTHON and channel == "final")
        if word.loose_channel and not self._tools.offers(word.text):
            return False
        if word.names_channel:
            # `assistant<|channel|>bash<|channel|>commentary`: counted in the wild.
            return self._tools.offers(word.text) or (
                _NAME.fullmatch(word.text) is not None and self._comes_before_commentary(word)
            )
        # `commentary look_up`, of which `commentary Copa` is no call.
        in_place = word.marker == CHANNEL and channel == "commentary" and not word.content_type
        return in_place and (self._tools.offers(word.text) or bool(_COMPOUND.fullmatch(word.text)))

    def _comes_before_commentary(self, word: Word) -> bool:
        """Whether a channel of its own follows: `bash<|channel|>commentary`."""
        after = self._words[self._words.index(word) + 1 :]
        return any(w.channel == "commentary" and w.names_channel for w in after)

    def _is_tool(self, word: str) -> bool:
        """Whether a word by itself can only be a tool's name."""
        return word == PYTHON or (self._tools.is_tool(word) and word.lower() not in RESERVED)

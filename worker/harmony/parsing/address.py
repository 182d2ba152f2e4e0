"""What a header's words mean: whose message it is, and whether it is reasoning, text or a call.

Rules:
- A recipient makes the message a call, wherever it appears. A known word keeps its meaning in any
  position; other words are ignored. A message on an unknown channel is shown to the user.
- A channel's name with anything around it (`??analysis`, `final.`) is that channel. If `analysis`
  occurs after the last `<|channel|>`, the message is reasoning, unless it is a call or foreign.
- A recipient is matched loosely against the tools on offer (`To: Get Weather()`). If exactly one
  fits, it is that tool; otherwise the name stays as written. It is never empty.
- Words that Harmony itself uses (`json`, `final`, `assistant`) name a tool only after `to=`.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from worker.harmony.events import Channel, Kind
from worker.harmony.parsing.header_words import (
    ASSISTANT,
    CHANNELS,
    CONTENT_TYPES,
    FOREIGN_ROLES,
    Word,
    normalized,
    split_words,
)
from worker.harmony.tool_names import PYTHON, ToolNames
from worker.harmony.vocabulary import CHANNEL

FUNCTIONS = "functions"
_NOT_TOOLS = CHANNELS | CONTENT_TYPES | FOREIGN_ROLES | {ASSISTANT, FUNCTIONS, "all", ""}
"""Recipients that are not tools, unless a tool has that name."""

RESERVED = CHANNELS | CONTENT_TYPES | FOREIGN_ROLES | {ASSISTANT, FUNCTIONS, ""}
"""Harmony's own words: without `to=` they never name a tool, whatever is on offer."""
_NAME = re.compile(r"\w[\w.\-/:]*")
_COMPOUND = re.compile(r"[A-Za-z0-9]+(?:[_.\-/:][A-Za-z0-9]+)+")
_CALL_HINT = re.compile(r"functions?\b|\btools?[./]|\bto\b", re.IGNORECASE)


class Address(NamedTuple):
    """What a header means. `name`: the called tool. `channel`: the channel that the header names,
    or if such a message does not belong there (a call on `final`), the one where it belongs."""

    kind: Kind
    name: str = ""
    channel: Channel = "final"

    def is_same_message(self, other: "Address") -> bool:
        """Whether a second header with this address can be a continuation of the first."""
        return (self.kind, self.name) == (other.kind, other.name)


class Reader:
    """Reads one header's words.

    `after_call`: the completion has already made a call.
    `role_is_given`: the prompt ends in `<|start|>assistant`, so no other role can follow.
    """

    def __init__(
        self,
        parts: Sequence[tuple[int, bytes]],
        tools: ToolNames,
        *,
        after_call: bool,
        role_is_given: bool = False,
    ) -> None:
        """`parts`: each marker of the header (0 or START for the role) and the text after it."""
        words: list[Word] = []
        self._channel_words: Sequence[Word] = ()  # the words after the last `<|channel|>`
        for marker, data in parts:
            found = split_words(normalized(data), marker)
            words += found
            self._channel_words = found if marker == CHANNEL else self._channel_words
        self._words = words
        self._tools = tools
        self._after_call = after_call
        self._role_is_given = role_is_given
        self._role = self._role_of(words[0]) if words else ""
        self._recipients = [w.recipient for w in words if w.recipient is not None]
        self._channels = self._channels_of(words)
        self._types = [w.content_type for w in words if w.content_type]

    def address(self) -> Address:
        """The header's address, however malformed the header is; see `Header.address`."""
        name = self._called_tool()
        if self._is_foreign(name):
            return Address(Kind.FOREIGN)
        if name is not None:
            # gpt-oss calls its built-in `python` on analysis, and functions on commentary.
            on_analysis = self._channels[-1:] == ["analysis"]
            return Address(Kind.CALL, name, "analysis" if on_analysis else "commentary")
        mentions_analysis = any("analysis" in word.text.lower() for word in self._channel_words)
        if mentions_analysis or self._channels[-1:] == ["analysis"]:
            return Address(Kind.REASONING, channel="analysis")
        is_preamble = self._channels[-1:] == ["commentary"]
        return Address(Kind.TEXT, channel="commentary" if is_preamble else "final")

    def _role_of(self, first: Word) -> str:
        """The role that the first word names, without the name after it (`user:anna`)."""
        if first.marker != 0 or first.recipient is not None:
            return ""
        return first.text if self._is_tool(first.text) else re.sub(r"\W.*", "", first.text)

    def _is_foreign(self, name: str | None) -> bool:
        """Whether the message is in another's name, such as a tool result or a user's turn."""
        from_tool = self._is_tool(self._role)
        if ASSISTANT in self._recipients:
            from_assistant = self._role in ("", ASSISTANT)
            return not from_assistant or (self._after_call and self._channels[-1:] != ["final"])
        if from_tool:
            return self._after_call and not self._types
        foreign = self._role in FOREIGN_ROLES and not self._role_is_given
        return foreign and (self._after_call or name is None)

    def _channels_of(self, words: Sequence[Word]) -> list[str]:
        """The channels named. Loose matches count only if no channel is named exactly."""
        exact = [w.channel for w in words if w.channel]
        offered = self._tools.offers
        return exact or [w.loose_channel for w in words if w.loose_channel and not offered(w.text)]

    def _called_tool(self) -> str | None:
        """The name of the called tool, or None if this is not a call."""
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
            return self._tools.names[0]  # a call without a name: the only tool on offer
        return FUNCTIONS if to_functions else None

    def _loosely_called(self, addressed: Sequence[str]) -> str | None:
        """The only tool that the header names, with junk in between: `to=functions .get`,
        `toX=functions.get`."""
        texts = [w.text for w in self._words if not w.channel and w.content_type is None]
        text = " ".join(texts)
        is_call = addressed or FUNCTIONS in self._recipients or _CALL_HINT.search(text)
        return self._tools.named_in(text.replace("to=", " ")) if is_call else None

    def _can_be_called(self, recipient: str) -> bool:
        name = self._tools.resolve(recipient)
        return name not in _NOT_TOOLS or (bool(name) and self._tools.is_tool(recipient))

    def _bare_recipients(self) -> list[str]:
        """Words without `to=` that can only be a recipient."""
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
        if word.in_channel_position:
            # `assistant<|channel|>bash<|channel|>commentary`: seen in real outputs.
            return self._tools.offers(word.text) or (
                _NAME.fullmatch(word.text) is not None and self._comes_before_commentary(word)
            )
        # `commentary look_up` is a call, `commentary Copa` is not.
        in_place = word.marker == CHANNEL and channel == "commentary" and not word.content_type
        return in_place and (self._tools.offers(word.text) or bool(_COMPOUND.fullmatch(word.text)))

    def _comes_before_commentary(self, word: Word) -> bool:
        """Whether `<|channel|>commentary` follows the word: `bash<|channel|>commentary`."""
        after = self._words[self._words.index(word) + 1 :]
        return any(w.channel == "commentary" and w.in_channel_position for w in after)

    def _is_tool(self, word: str) -> bool:
        """Whether a word on its own can only be a tool's name."""
        return word == PYTHON or (self._tools.is_tool(word) and word.lower() not in RESERVED)

"""A Harmony message's header: who speaks, on which channel, to whom, in what content type.

Well-formed: `<|start|>ROLE[ to=RECIPIENT]<|channel|>CHANNEL[ to=RECIPIENT][ <|constrain|>TYPE]
<|message|>`. Rules for the rest: the recipient, wherever it stands, decides what is a call; a
known word keeps its meaning in any place; a header without `<|message|>` ends where text stops
looking like a header.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NamedTuple

from worker.harmony.vocabulary import CHANNEL, CONSTRAIN

CHANNELS = frozenset({"analysis", "commentary", "final"})
_REASONING = frozenset({"analysis", "thinking", "thought", "reasoning", "reflection"})
_CONTENT_TYPES = frozenset({"json", "code", "text", "python", "javascript", "typescript", "string"})
_NOT_TOOLS = CHANNELS | {"assistant", "user", "system", "developer", "all", "tool", ""}
_FOREIGN_ROLES = frozenset({"user", "system", "developer", "tool"})
_NAME = re.compile(r"[\w.\-/:]*\w")


class Kind(Enum):
    """What a message's body is to the client."""

    REASONING = auto()
    TEXT = auto()
    CALL = auto()
    FOREIGN = auto()
    """Written in another's name (a tool's result, a user's turn): never passed on."""


class Address(NamedTuple):
    """What a header says. `name`: the tool that is called."""

    kind: Kind
    name: str = ""


class ToolNames:
    """The tools on offer, and what a recipient as the model wrote it means among them."""

    def __init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        self.names: list[str] = [tool.get("function", tool)["name"] for tool in tools]
        self._normal = {_normalised(name): name for name in self.names}

    def __contains__(self, recipient: str) -> bool:
        return self.resolve(recipient) in self.names

    def resolve(self, recipient: str) -> str:
        """The called tool's name: one of the tools if any matches, else as the model wrote it."""
        match = _NAME.match(recipient)
        name = match.group() if match else recipient
        if name in self.names:
            return name
        while name.startswith("functions."):
            name = name.removeprefix("functions.")
        return name if name in self.names else self._normal.get(_normalised(name), name)

    def is_tool(self, word: str) -> bool:
        """Whether a bare word (no `to=`) can only be a tool's name."""
        return word not in _NOT_TOOLS and (
            word in self.names or word.startswith(("functions.", "browser."))
        )


def _normalised(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower())


class Origin(Enum):
    """Where a header begins, which decides how much of it can be missing."""

    PROMPT = auto()
    """The prompt ended in `<|start|>assistant`."""
    START = auto()
    """After `<|start|>`."""
    LOOSE = auto()
    """After a closed message, without `<|start|>`."""
    BODY = auto()
    """At a `<|channel|>` in the middle of a body."""


@dataclass(slots=True)
class Segment:
    """The text after `marker` (0 at the header's beginning), in bytes as it comes."""

    marker: int
    data: bytes = b""

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")

    @property
    def words(self) -> list[str]:
        return self.text.split()


@dataclass(slots=True)
class Header:
    """A header while it comes in. Judged token by token, so any split reads the same."""

    origin: Origin
    tools: ToolNames
    segments: list[Segment] = field(default_factory=lambda: [Segment(0)])

    def add_marker(self, marker: int) -> None:
        self.segments.append(Segment(marker))

    def add_text(self, data: bytes) -> str | None:
        """Takes a token's bytes; returns the body's text if the header ended without its marker."""
        segment = self.segments[-1]
        segment.data += data
        text = segment.text
        end = self._end_of_header(segment.marker, text)
        if end is None:
            return None
        segment.data = text[:end].encode()
        return text[end:].lstrip(" ") if self.says_anything else text[end:]

    @property
    def says_anything(self) -> bool:
        """Whether a channel or a recipient was named, so that a body can follow."""
        words = [w for s in self.segments for w in s.words]
        return any(w in CHANNELS or w.startswith("to=") for w in words)

    @property
    def names_complete_tool(self) -> bool:
        """Whether a call is addressed and something after the name shows that it is whole."""
        last = self.segments[-1]
        ended = last.marker == CONSTRAIN or last.text[-1:].isspace() or not last.text
        return ended and self.read().kind is Kind.CALL

    def _end_of_header(self, marker: int, text: str) -> int | None:
        """Where in a segment's text the header ends, or None while it may go on."""
        end = 0
        words = list(re.finditer(r"\s*(\S+)", text))
        for place, match in enumerate(words):
            partial = place == len(words) - 1 and match.end() == len(text)
            if not self._belongs(marker, match.group(1), place, partial=partial):
                return end
            end = match.end()
        return end if "\n" in text[end:] else None

    def _belongs(self, marker: int, word: str, place: int, *, partial: bool) -> bool:
        """Whether the word at `place` of a segment can be part of the header."""
        if len(word) > 200 or word[0] in "{[\"'":
            return False
        first = place == 0 and marker != CONSTRAIN
        if first and (marker == CHANNEL or self.origin is Origin.START):
            return True  # a channel or a role of any name
        known = [*_CONTENT_TYPES, "to="]
        if first:
            known += [*CHANNELS, "assistant"]
        if place == 0 and marker == CONSTRAIN:
            return not re.search(r"[{\[\"]", word)
        if word.startswith("to=") or word in known or self.tools.is_tool(word):
            return "{" not in word
        return partial and any(
            k.startswith(word) for k in [*known, *self.tools.names, "functions.", "browser."]
        )

    def read(self) -> Address:
        """What the header says, however malformed."""
        role, channels, recipients, types = self._sorted_words()
        tool_role = self.tools.is_tool(role) or role == "python"
        if role in _FOREIGN_ROLES or "assistant" in recipients:
            return Address(Kind.FOREIGN)
        if tool_role and not types:
            return Address(Kind.FOREIGN)
        for name in [*recipients, *([role] if tool_role else [])]:
            if name not in _NOT_TOOLS:
                return Address(Kind.CALL, self.tools.resolve(name))
        for channel in channels:
            if channel not in CHANNELS and (self.tools.is_tool(channel) or channel in self.tools):
                return Address(Kind.CALL, self.tools.resolve(channel))
        known = [c for c in channels if c in CHANNELS] or channels
        if known[-1:] == ["commentary"] and "json" in types and len(self.tools.names) == 1:
            return Address(Kind.CALL, self.tools.names[0])
        reasons = bool(known) and known[-1] in _REASONING
        return Address(Kind.REASONING if reasons else Kind.TEXT)

    def _sorted_words(self) -> tuple[str, list[str], list[str], list[str]]:
        """Role, channels, recipients and content types, each word by what it can only be."""
        role, channels, recipients, types = "assistant", list[str](), list[str](), list[str]()
        for segment in self.segments:
            for place, word in enumerate(segment.words):
                if word.startswith("to="):
                    recipients.append(word[3:])
                elif segment.marker == CONSTRAIN:
                    types.append(word.lower())
                elif (segment.marker == CHANNEL and place == 0) or word in CHANNELS:
                    channels.append(word)
                elif place == 0 and self.origin is Origin.START and segment.marker == 0:
                    role = word.partition(":")[0]
                elif word in _CONTENT_TYPES and not self.tools.is_tool(word):
                    types.append(word)
                elif self.tools.is_tool(word) or channels[-1:] == ["commentary"]:
                    recipients.append(word)
        return role, channels, recipients, types

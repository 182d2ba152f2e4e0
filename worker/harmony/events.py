"""The parser's events: a completion's content, independent of any API.

Each message of the completion is one sequence of events:

    MessageBegun  (Reasoning | Text)*                        MessageEnded
    MessageBegun  ToolCallBegun  ToolCallArguments*          MessageEnded
    …                                                        Finished

An event has text for the user or a call for the client, never a marker or a header. Texts and
arguments arrive in pieces that add up to the whole. A message that the model writes in another role
(such as a made-up tool result) produces no events.

One event is created for every token. So they are not frozen, which doubles the cost, and are
matched by keyword, `case Text(text=text)`: for a positional pattern, CPython 3.11 makes the string
`__match_args__` each time, and keeps hundreds of them in its cache of attributes.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

Channel = Literal["analysis", "commentary", "final"]


class Kind(Enum):
    """How a message's body is presented to the client."""

    REASONING = auto()
    TEXT = auto()
    CALL = auto()
    FOREIGN = auto()
    """Written in another role (a tool's result, a user's message); never sent to the client."""


@dataclass(slots=True)
class MessageBegun:
    """A message begins: its header is over. `recipient`: the called tool, or None."""

    kind: Kind
    channel: Channel
    recipient: str | None = None


@dataclass(slots=True)
class MessageEnded:
    """The message is over, as soon as nothing after it can be part of it.

    `complete`: the model ended it; a limit did not cut it off.
    `span`: the position of its body in the completion's ids. In well-formed output these are all
    ordinary ids; in malformed output there can be markers among them.
    `arguments`: those of a call, whole, as its events had them.
    """

    complete: bool
    span: range
    arguments: str = ""


@dataclass(slots=True)
class Reasoning:
    """A piece of the analysis channel: the model's reasoning."""

    text: str


@dataclass(slots=True)
class Text:
    """A piece of text for the user: the final channel, or a preamble on commentary."""

    text: str


@dataclass(slots=True)
class ToolCallBegun:
    """A tool call begins. `index` counts the calls of this completion from 0."""

    index: int
    id: str
    name: str


@dataclass(slots=True)
class ToolCallArguments:
    """A piece of the arguments of call `index`, as the model wrote them."""

    index: int
    text: str


@dataclass(slots=True)
class Finished:
    """The completion is over. `complete`: its last message was closed, not cut off."""

    complete: bool


Event = (
    MessageBegun | Reasoning | Text | ToolCallBegun | ToolCallArguments | MessageEnded | Finished
)

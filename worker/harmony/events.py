"""What a completion says, as the parser tells it: the internal language between tokens and API.

Rule: an event holds text for a reader or a call for a client, never a marker or a header.
A text or an argument comes in as many events as it comes in; joined, they are the whole.
(Not frozen: one is made for every token, and freezing costs as much again.)
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Reasoning:
    """A piece of the analysis channel: the model thinking."""

    text: str


@dataclass(slots=True)
class Text:
    """A piece of what the user reads: the final channel, or a preamble on commentary."""

    text: str


@dataclass(slots=True)
class ToolCallBegun:
    """A call to a tool begins. `index` counts the calls of this completion from 0."""

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


Event = Reasoning | Text | ToolCallBegun | ToolCallArguments | Finished

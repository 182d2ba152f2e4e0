"""A conversation, and what is wanted of the next turn: the language between any API and Harmony.

A conversation is a flat sequence of messages in the order in which they were said. An assistant's
turn is no message but a run of them: thoughts, what was said, calls. So an API that has one object
for all of a turn (chat) and one that has an item for each part (responses) come to the same here,
and neither loses an order, a phase or an id on the way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Json = Any  # A JSON value from outside, validated by the API that it came through.

Phase = Literal["commentary", "final"]
"""Where an assistant's words stand: said on the way (a preamble), or the answer."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """What the developer says; at the head of a conversation, or between its messages."""

    text: str


@dataclass(frozen=True, slots=True)
class User:
    """What the user says; `name` tells several apart."""

    text: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of an assistant's reasoning; `ids` are its exact tokens, all of them ordinary text,
    where they are known."""

    text: str
    ids: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What an assistant said to the user."""

    text: str
    phase: Phase = "final"


@dataclass(frozen=True, slots=True)
class Called:
    """A call that an assistant made. `arguments`: JSON text, as it was written."""

    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a call gave. It names its call by `call_id`, by the call's `name`, or by neither.

    `field` is where the request has it, for the error that names a result without a call.
    """

    text: str
    call_id: str = ""
    name: str = ""
    field: str | None = None


Message = Instruction | User | Thought | Said | Called | Result


@dataclass(frozen=True, slots=True)
class Tool:
    """A function of the client's. `parameters`: a JSON schema, or None where it takes nothing.

    `strict`: its arguments must follow the schema, by construction.
    """

    name: str
    description: str = ""
    parameters: Json = None
    strict: bool = False

    @classmethod
    def of(cls, tool: Mapping[str, Json]) -> "Tool":
        """From `{"type": "function", "function": {…}}`, or the inner object alone."""
        function = tool.get("function", tool)
        return cls(
            function["name"],
            function.get("description") or "",
            function.get("parameters"),
            function.get("strict") is True,
        )


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """JSON by a schema, or any object where it is None. `strict`: valid by construction, or the
    request is refused.

    `name` and `description` are shown to the model with the schema; without a name it is only held.
    `field` is where the request has the schema, for the error that names what cannot be held.
    """

    schema: Json
    strict: bool = False
    name: str = ""
    description: str = ""
    field: str | None = None


@dataclass(frozen=True, slots=True)
class RegexAnswer:
    """Text that a regular expression matches as a whole."""

    pattern: str


@dataclass(frozen=True, slots=True)
class ChoiceAnswer:
    """One of several texts."""

    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class GrammarAnswer:
    """Text that an EBNF grammar derives from its rule `root`."""

    ebnf: str


AnswerForm = JsonAnswer | RegexAnswer | ChoiceAnswer | GrammarAnswer
"""What the answer must look like, where the caller wants it certain."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of the next turn.

    `calls`: `auto`: calls or an answer; `required`: at least one call; `none`: an answer.
    `among`: the names of the tools that may be called, all of them where it is None.
    `effort`: how much to reason, one of `EFFORTS`; None leaves it to the worker.
    """

    tools: Sequence[Tool] = ()
    calls: Literal["auto", "required", "none"] = "auto"
    among: Sequence[str] | None = None
    answer: AnswerForm | None = None
    effort: str | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said so far, and what is wanted next."""

    messages: Sequence[Message]
    wanted: Wanted = Wanted()

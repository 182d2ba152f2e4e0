"""A conversation and the constraints on its next turn: the interface between all APIs and Harmony.

A conversation is a flat sequence of messages in chronological order. An assistant's turn is not one
message but several consecutive ones: reasoning, text, calls. So both APIs with one object per turn
(chat) and APIs with one item per part (responses) can be converted without losing order, phases or
IDs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from worker.json_depth import Json

Phase = Literal["commentary", "final"]
"""The channel of an assistant's text: a preamble (commentary) or the answer (final)."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """A developer message, at the beginning of a conversation or within it."""

    text: str


@dataclass(frozen=True, slots=True)
class User:
    """A user message. `name` distinguishes several users."""

    text: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Thought:
    """One message of an assistant's reasoning. `ids`: its exact token IDs if known, all of them
    ordinary text."""

    text: str
    ids: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """Text from the assistant to the user."""

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
    """The result of a tool call. It refers to its call by `call_id`, by the tool's `name`, or not
    at all.

    `field`: its location in the request, for the error if no call matches. `tools` are those that
    it makes known to the model, shown after its text.
    """

    text: str
    call_id: str = ""
    name: str = ""
    field: str | None = None
    tools: "Sequence[Tool]" = ()


Message = Instruction | User | Thought | Said | Called | Result


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the client offers. `parameters`: a JSON schema, or None if it takes no
    arguments.

    `strict`: the grammar enforces the schema of its arguments. `deferred`: it can be called, but
    the prompt's head does not show it; a `Result` may.
    """

    name: str
    description: str = ""
    parameters: Json = None
    strict: bool = False
    deferred: bool = False

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
    """JSON that follows `schema`, or any JSON object if it is None. `strict`: reject the request if
    the grammar cannot enforce the schema.

    `name` and `description` are shown to the model together with the schema; without a name, the
    schema is only enforced. `field`: its location in the request, for the error if it cannot be
    enforced.
    """

    schema: Json
    strict: bool = False
    name: str = ""
    description: str = ""
    field: str | None = None


@dataclass(frozen=True, slots=True)
class RegexAnswer:
    """Text that fully matches a regular expression."""

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
"""An enforced format of the answer."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The tools and constraints for the next turn. `tool_choice`: `auto` allows calls or an answer,
    `required` at least one call, `none` only an answer. `among`: the names of the tools that may be
    called, or None for all. `effort`: the reasoning effort, one of `EFFORTS`, or None for the
    worker's default.
    """

    tools: Sequence[Tool] = ()
    tool_choice: Literal["auto", "required", "none"] = "auto"
    among: Sequence[str] | None = None
    answer: AnswerForm | None = None
    effort: str | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages so far, and the constraints on the next turn."""

    messages: Sequence[Message]
    wanted: Wanted = Wanted()


def after_answer(messages: Sequence[Message]) -> int:
    """The index at which the messages after the last answer begin. Reasoning before it is never
    shown to the model again."""
    finals = (at for at, m in enumerate(messages) if isinstance(m, Said) and m.phase == "final")
    return max(finals, default=-1) + 1

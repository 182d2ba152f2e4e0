"""What an API brings: how it reads a body, and how it words an answer, an error and a stream.

Between the two there is one way for all of them (worker.service): what a request asks (`Asked`) is
generated, turn by turn, and what the turns tell is worded by the request's `Answer`. A whole answer
is the fold of the streamed one. No dialect knows another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from worker.errors import WorkerError
from worker.generation import Sampling
from worker.harmony.conversation import Conversation
from worker.turn import Ending, Told, TurnOptions, Usage

Json = Any  # A JSON value from outside.
Object = dict[str, Any]
"""A JSON object of an API, on its way out."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks, in no API's words.

    `prompts`: conversations, or raw prompts as token ids; `choices`: turns for each of them.
    `sampling` is that of the first choice; what its `max_tokens` has over the room is no error.
    `prompt_field` is where the request has its prompts, for the error on one that is too long.
    """

    model: str | None
    prompts: Sequence[Conversation | Sequence[int]]
    prompt_field: str
    sampling: Sampling
    options: TurnOptions
    choices: int = 1
    streams: bool = False


class Head(NamedTuple):
    """What stands in every object of an answer: `id` is the request's, `created` in seconds since
    the epoch."""

    id: str
    model: str
    created: int


class Answer(Protocol):
    """Words what the turns of one request tell. Turns are numbered prompt by prompt."""

    def take(self, turn: int, told: Told, ending: Ending | None) -> Sequence[Object]:
        """The objects that say what a turn told after a step, and that it ended, if it has."""
        ...

    def close(self, usage: Usage) -> Sequence[Object]:
        """The objects after the last turn's."""
        ...


class Fold(Protocol):
    """Adds up the objects of a streamed answer."""

    def add(self, item: Object) -> None: ...

    def whole(self) -> Object:
        """The one object that they add up to."""
        ...


class Request(Protocol):
    """A request that was read and is valid."""

    def asked(self) -> Asked: ...

    def answer(self, head: Head) -> Answer: ...

    def fold(self) -> Fold: ...


def _as_they_are(items: Sequence[Object]) -> Sequence[Object]:
    return items


def _not_in_two(_item: Object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API.

    `read` raises BadRequest. `error` is the body of a failed answer. `event` is an object (also an
    error's body) as one server-sent event, `end` what ends a stream that did not fail.
    `together`: the same in fewer objects, for deliveries of one object each; `halves`: an object in
    two that mean the same, or None.
    """

    read: Callable[[Json], Request]
    error: Callable[[WorkerError], Object]
    event: Callable[[Object], str]
    end: str = ""
    together: Callable[[Sequence[Object]], Sequence[Object]] = _as_they_are
    halves: Callable[[Object], tuple[Object, Object] | None] = _not_in_two

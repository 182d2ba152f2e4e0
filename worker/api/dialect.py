"""What an API brings: how it reads a request, and how it writes answers, errors and streams.

Between the two there is one way for all of them (worker.service): what a request asks (`Asked`) is
generated, turn by turn, and the request's `Answer` makes the API's objects of it. A whole answer is
the fold of the streamed one. No dialect knows another.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from worker.errors import WorkerError
from worker.generation import Sampling
from worker.harmony.capsule import Capsules
from worker.harmony.conversation import Conversation
from worker.turn import TurnOptions, TurnOutput, Usage

Json = Any  # A JSON value from outside.
Object = dict[str, Any]
"""A JSON object of an API, on its way out."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came in.

    `params` are those of its path and its query. `owner` tells whose it is, where there are several
    API keys: what is stored for one is not shown to another.
    """

    body: Json = None
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks, independent of its API.

    `prompts`: conversations, or raw prompts as token ids; `choices`: turns for each of them.
    `sampling` is that of the first choice; a `max_tokens` beyond the room in the context is cut.
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
    """Makes an API's objects of what the turns of one request say.

    Turns are numbered prompt by prompt.
    """

    def take(self, turn: int, output: TurnOutput) -> Sequence[Object]:
        """The objects for what a turn adds in a step, its ending included."""
        ...

    async def close(self, usage: Usage) -> Sequence[Object]:
        """The objects after the last turn's. What is to be stored is stored before they go out."""
        ...

    def keep_alive(self) -> Sequence[Object]:
        """The objects that keep a silent stream open, where the API has such. A comment does it for
        the others."""
        ...

    def failed(self, error: WorkerError) -> Sequence[Object]:
        """The objects that end a stream that failed after it had begun."""
        ...


class Fold(Protocol):
    """Adds up the objects of a streamed answer."""

    def add(self, item: Object) -> None: ...

    def whole(self) -> Object:
        """The one object that they add up to."""
        ...


class Request(Protocol):
    """A valid request that the model answers."""

    def asked(self) -> Asked: ...

    def answer(self, head: Head) -> Answer: ...

    def fold(self) -> Fold: ...


class Host(Protocol):
    """What a dialect may ask of the worker.

    `created`: when it started, in seconds since the epoch; `context_length` in tokens.
    """

    @property
    def models(self) -> Sequence[str]: ...

    @property
    def created(self) -> int: ...

    @property
    def context_length(self) -> int: ...

    @property
    def capsules(self) -> Capsules:
        """Seals reasoning for a client to carry, and opens what it brings back."""
        ...

    def count(self, conversation: Conversation) -> int:
        """How many tokens the prompt of a conversation has. Raises BadRequest."""
        ...


class Generate(NamedTuple):
    """The model answers. `read` raises BadRequest, also for what a request refers to and the worker
    does not have."""

    read: Callable[[Call, Host], Awaitable[Request]]


class LookUp(NamedTuple):
    """One object answers, without the engine. `find` raises WorkerError."""

    find: Callable[[Call, Host], Awaitable[Object]]


class Refuse(NamedTuple):
    """The answer is an error, made anew for each request."""

    error: Callable[[], WorkerError]


Action = Generate | LookUp | Refuse


def _as_they_are(items: Sequence[Object]) -> Sequence[Object]:
    return items


def _not_in_two(_item: Object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one API writes what all of its routes have in common.

    `error` is the body of a failed answer. `event` is an object (also an error's body) as one
    server-sent event, `end` what ends a stream that did not fail.
    `merge`: the same in fewer objects, for deliveries of one object each; `split`: an object
    split in two that mean the same, or None.
    """

    error: Callable[[WorkerError], Object]
    event: Callable[[Object], str]
    end: str = ""
    merge: Callable[[Sequence[Object]], Sequence[Object]] = _as_they_are
    split: Callable[[Object], tuple[Object, Object] | None] = _not_in_two

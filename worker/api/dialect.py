"""The interface that every API implements: parsing requests; formatting answers, errors and
streams.

Everything in between is shared (worker.service): the service generates what the request asks for
(`Asked`), and the request's `Answer` converts the output to the API's objects. A non-streamed
answer is the fold of the streamed one. Dialects do not import each other.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from worker.errors import WorkerError
from worker.generation import Sampling
from worker.harmony.capsule import Capsules
from worker.harmony.conversation import Conversation
from worker.harmony.encoded_text import Segment
from worker.json_depth import Json
from worker.turn import TurnOptions, TurnOutput, Usage

Object = dict[str, Any]
"""A JSON object to be sent to a client."""


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as received, before validation.

    `params`: path and query parameters. `owner` identifies the API key if there are several: data
    stored for one key is not accessible with another.
    """

    body: Json = None
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to generate for a request, independent of its API.

    `prompts`: conversations, or raw prompts; `choices`: turns per prompt. `sampling`
    applies to the first choice (see `Sampling.within`); `max_tokens` is capped by the context.
    `prompt_field`: the request field with the prompts, for the error if one is too long.
    `call_prefix` begins the ids of calls, as the API's own do.
    """

    model: str | None
    prompts: Sequence[Conversation | Sequence[Segment]]
    prompt_field: str
    sampling: Sampling
    options: TurnOptions
    choices: int = 1
    streams: bool = False
    call_prefix: str = "call_"


class Head(NamedTuple):
    """Metadata repeated in every object of an answer. `id`: the request's; `created`: seconds since
    the epoch."""

    id: str
    model: str
    created: int


class Answer(Protocol):
    """Converts the output of one request's turns to an API's objects. Turns are numbered across
    prompts: all choices of the first prompt come first.
    """

    def take(self, turn: int, output: TurnOutput) -> Sequence[Object]:
        """The objects for one step of a turn, including its ending."""
        ...

    async def close(self, usage: Usage) -> Sequence[Object]:
        """The objects that end the answer. Anything to be stored must be stored before this
        returns."""
        ...

    def keep_alive(self) -> Sequence[Object]:
        """The objects that keep an idle stream open; empty if the API has none (an SSE comment is
        sent instead)."""
        ...

    def failed(self, error: WorkerError) -> Sequence[Object]:
        """The objects that end a stream after an error."""
        ...


class Fold(Protocol):
    """Folds the objects of a streamed answer into one."""

    def add(self, item: Object) -> None: ...

    def whole(self) -> Object:
        """The folded object."""
        ...


class Request(Protocol):
    """A validated request for the model."""

    def asked(self) -> Asked: ...

    def answer(self, head: Head) -> Answer: ...

    def fold(self) -> Fold: ...


class ResponseStore(Protocol):
    """Keeps responses for later requests. A record belongs to the owner of the request that made
    it, and is not found for any other."""

    @property
    def is_on(self) -> bool:
        """Whether it keeps anything at all."""
        ...

    @property
    def advice(self) -> str:
        """What to do where a response is not found, for the error."""
        ...

    async def get(self, response_id: str, owner: str) -> Object | None: ...

    async def put(self, response_id: str, owner: str, record: Object) -> bool:
        """Whether the record was stored."""
        ...

    async def delete(self, response_id: str, owner: str) -> bool:
        """Whether there was such a record."""
        ...


class Host(Protocol):
    """The parts of the worker that a dialect may use. `created`: the worker's start time, in
    seconds since the epoch; `context_length`: in tokens.
    """

    @property
    def models(self) -> Sequence[str]: ...

    @property
    def created(self) -> int: ...

    @property
    def context_length(self) -> int: ...

    @property
    def capsules(self) -> Capsules:
        """Seals reasoning into capsules for clients, and opens those that one request brings."""
        ...

    @property
    def responses(self) -> ResponseStore:
        """The responses that were stored."""
        ...

    async def count(self, conversation: Conversation) -> int:
        """The number of tokens in a conversation's prompt. Raises BadRequest."""
        ...


class Generate(NamedTuple):
    """The model generates the answer. `read` raises BadRequest, also if the request refers to
    something that does not exist."""

    read: Callable[[RawRequest, Host], Awaitable[Request]]


class LookUp(NamedTuple):
    """The answer is one object, found without the engine. `find` raises WorkerError."""

    find: Callable[[RawRequest, Host], Awaitable[Object]]


class Refuse(NamedTuple):
    """The answer is an error; a new instance is created for each request."""

    error: Callable[[], WorkerError]


Action = Generate | LookUp | Refuse


def _as_they_are(items: Sequence[Object]) -> Sequence[Object]:
    return items


def _no_smaller(_item: Object) -> None:
    return None


def _own_status(error: WorkerError) -> int:
    return error.status


def _without_id(body: Object, _request_id: str) -> Object:
    return body


@dataclass(frozen=True, slots=True)
class Dialect:
    """The formatting that all routes of one API share.

    `error` is the body of a failed answer, `status` its HTTP status. `event` formats an object (or
    an error body) as one server-sent event; `end` terminates a successful stream. `identified` puts
    the request's id into an error's body, and `id_header` names a header for it beside
    `x-request-id`, where the API has them. `combine` makes fewer objects of several, for transports
    that deliver one object at a time; `smaller` replaces an object that is too large by smaller
    ones that say the same, or returns None.
    """

    error: Callable[[WorkerError], Object]
    event: Callable[[Object], str]
    end: str = ""
    combine: Callable[[Sequence[Object]], Sequence[Object]] = _as_they_are
    smaller: Callable[[Object], Sequence[Object] | None] = _no_smaller
    status: Callable[[WorkerError], int] = _own_status
    identified: Callable[[Object, str], Object] = _without_id
    id_header: str | None = None

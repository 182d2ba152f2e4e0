"""One job: its states, the attempts at it, and what each attempt made.

Rule: pure. Only the attempt that owns a job changes it; what others send (a duplicate, a worker
thought dead) is recorded with their own attempt and changes nothing.
Source: https://docs.runpod.io/serverless/endpoints/job-states
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from emulator.clock import Moment

Json = Any  # A JSON value from outside.
Kind = Literal["run", "runsync", "openai"]


class State(StrEnum):
    """A job's state, by the platform's names."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def ended(self) -> bool:
        return self not in (State.IN_QUEUE, State.IN_PROGRESS)


@dataclass(frozen=True, slots=True)
class Policy:
    """How long a job may take, in seconds: altogether, and once a worker has it."""

    ttl: float = 24 * 3600
    execution_timeout: float = 600


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a job's stream, when it was received and how large its POST was."""

    output: Json
    at: Moment
    size: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A POST that was not let in. `status` None: the connection was dropped."""

    door: str
    status: int | None
    at: Moment
    size: int


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a job's timeline."""

    kind: str
    at: Moment
    detail: str = ""


@dataclass(slots=True)
class Attempt:
    """One delivery of a job to a worker."""

    worker: str
    taken: Moment
    duplicate: bool = False
    chunks: list[Chunk] = field(default_factory=list[Chunk])
    refused: list[Refusal] = field(default_factory=list[Refusal])
    posts: int = 0
    """How many POSTs came for it, whatever became of them."""
    keys: set[str] = field(default_factory=set[str])
    """The idempotency keys of what has counted."""


@dataclass(slots=True, eq=False)
class Job:
    """A job and all that happened to it."""

    id: str
    number: int
    """Its place in the order of submission, from 1."""
    kind: Kind
    input: Json
    queued: Moment
    policy: Policy = Policy()
    webhook: str | None = None
    state: State = State.IN_QUEUE
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    owner: Attempt | None = None
    output: Json = None
    error: str | None = None
    ended: Moment | None = None
    events: list[Event] = field(default_factory=list[Event])
    change: int = 0
    """The number of the endpoint's change that touched this job last."""
    streamed: int = 0
    """How many chunks of the owner's the client has got from /stream."""

    @property
    def deliveries(self) -> int:
        """How often the job was handed out, other than by mistake."""
        return sum(not attempt.duplicate for attempt in self.attempts)

    @property
    def chunks(self) -> list[Chunk]:
        """What the job's owner has streamed so far."""
        return self.owner.chunks if self.owner else []

    def attempt_of(self, worker: str) -> Attempt | None:
        """The delivery that what a worker sends belongs to.

        A worker that got a job twice cannot say which of the two it means: while the job runs, the
        owner if it is the worker's; after that, the last.
        """
        if self.owner and self.owner.worker == worker and not self.state.ended:
            return self.owner
        return next((a for a in reversed(self.attempts) if a.worker == worker), None)

    def note(self, kind: str, at: Moment, detail: str = "") -> None:
        self.events.append(Event(kind, at, detail))

    def take(self, worker: str, at: Moment, *, duplicate: bool = False) -> None:
        """A worker gets the job."""
        attempt = Attempt(worker, at, duplicate)
        self.attempts.append(attempt)
        self.note("duplicate" if duplicate else "taken", at, worker)
        if not duplicate:
            self.owner = attempt
            self.state = State.IN_PROGRESS

    def runs_in(self, attempt: Attempt) -> bool:
        """Whether the job runs, and what this attempt brings is what counts."""
        return self.state is State.IN_PROGRESS and attempt is self.owner

    def end(self, state: State, at: Moment, output: Json, error: str | None) -> None:
        """The job is over."""
        self.state, self.ended, self.output, self.error = state, at, output, error
        self.note(state.value.lower(), at, error or "")

    def requeue(self, at: Moment, why: str) -> None:
        """Back to the queue: whatever the last attempt made is void."""
        self.state, self.owner, self.ended = State.IN_QUEUE, None, None
        self.output, self.error, self.streamed = None, None, 0
        self.note("retried", at, why)

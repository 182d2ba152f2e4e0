"""One job: its state, its delivery attempts, and what each attempt sent.

Rule: no I/O. Only the attempt that owns a job changes it; what others send (a duplicate delivery, a
worker presumed dead) is recorded with their own attempt and changes nothing.
Source: https://docs.runpod.io/serverless/endpoints/job-states
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from emulator.clock import Moment

Json = Any  # A JSON value from outside.
Kind = Literal["run", "runsync", "openai"]


class State(StrEnum):
    """A job's state, as the platform names it."""

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
    """A job's timeouts in seconds: since submission (`ttl`), and since a worker took it."""

    ttl: float = 24 * 3600
    execution_timeout: float = 600


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of a job's stream, with the time and the size in bytes of its POST."""

    output: Json
    at: Moment
    size: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused POST. `status` is None if the connection was dropped."""

    route: str
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
    """How many POSTs arrived for it, refused ones included."""
    keys: set[str] = field(default_factory=set[str])
    """The idempotency keys of the accepted POSTs."""


@dataclass(slots=True, eq=False)
class Job:
    """A job and its history."""

    id: str
    number: int
    """Its position in the order of submission, from 1."""
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
    """`Endpoint.changes` when this job last changed."""
    streamed: int = 0
    """How many of the owner's chunks the client has read from /stream."""

    @property
    def deliveries(self) -> int:
        """How often the job was delivered, not counting duplicates."""
        return sum(not attempt.duplicate for attempt in self.attempts)

    @property
    def chunks(self) -> list[Chunk]:
        """The chunks that the owner has streamed so far."""
        return self.owner.chunks if self.owner else []

    def attempt_of(self, worker: str) -> Attempt | None:
        """The attempt that a worker's POST belongs to; None if the worker never got the job.

        A worker that got a job twice cannot say which delivery it means: while the job runs, it is
        the owner if that is this worker's, otherwise the worker's last delivery.
        """
        if self.owner and self.owner.worker == worker and not self.state.ended:
            return self.owner
        return next((a for a in reversed(self.attempts) if a.worker == worker), None)

    def note(self, kind: str, at: Moment, detail: str = "") -> None:
        self.events.append(Event(kind, at, detail))

    def take(self, worker: str, at: Moment, *, duplicate: bool = False) -> None:
        """Records the delivery to a worker, which becomes the owner unless it is a duplicate."""
        attempt = Attempt(worker, at, duplicate)
        self.attempts.append(attempt)
        self.note("duplicate" if duplicate else "taken", at, worker)
        if not duplicate:
            self.owner = attempt
            self.state = State.IN_PROGRESS

    def runs_in(self, attempt: Attempt) -> bool:
        """Whether the job is in progress and this attempt owns it."""
        return self.state is State.IN_PROGRESS and attempt is self.owner

    def end(self, state: State, at: Moment, output: Json, error: str | None) -> None:
        """Sets the job's final state."""
        self.state, self.ended, self.output, self.error = state, at, output, error
        self.note(state.value.lower(), at, error or "")

    def requeue(self, at: Moment, why: str) -> None:
        """Resets the job to IN_QUEUE and discards the output of the last attempt."""
        self.state, self.owner, self.ended = State.IN_QUEUE, None, None
        self.output, self.error, self.streamed = None, None, 0
        self.note("retried", at, why)

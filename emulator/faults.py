"""Injectable faults: what can go wrong between a worker and the platform.

Rules: no I/O. With the same seed, a job's POST has the same outcome in each run, however the jobs
interleave: the outcome depends only on the seed, the route, the job's number and the POST's number.
Latency is added after the request is timestamped and before the reply.
"""

import json
import random
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

Rate = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Outcome(Enum):
    """What happens to a request."""

    OK = "ok"
    FAIL = "fail"
    BUSY = "busy"
    DROP = "drop"
    LOSE_REPLY = "lose reply"
    TOO_LARGE = "too large"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Chance(_Model):
    """How often a fault occurs: for certain the `next` n times, then with probability `rate`."""

    rate: Rate = 0
    next: Count = 0

    def consume_next(self) -> bool:
        """Uses up one of the `next`; False if there is none."""
        if self.next == 0:
            return False
        self.next -= 1
        return True


class RouteFaults(_Model):
    """The faults of one of the worker's routes, whatever the request."""

    latency_ms: Annotated[float, Field(ge=0)] = 0
    fail: Chance = Field(default_factory=Chance)
    """A 5xx reply."""
    fail_status: Annotated[int, Field(ge=500, le=599)] = 503
    busy: Chance = Field(default_factory=Chance)
    """429 with Retry-After."""
    retry_after_s: Annotated[int, Field(ge=0)] = 1
    drop: Chance = Field(default_factory=Chance)
    """The connection is closed without a reply, and the request has no effect."""

    def outcome(self, key: str, size: int = 0) -> Outcome:
        """What happens to a request; `key` seeds the random draw."""
        del size
        chances = self._chances()
        for outcome, chance in chances:
            if chance.consume_next():
                return outcome
        draw = random.Random(key).random()  # noqa: S311 - repeatable, not secret
        for outcome, chance in chances:
            if draw < chance.rate:
                return outcome
            draw -= chance.rate
        return Outcome.OK

    def _chances(self) -> list[tuple[Outcome, Chance]]:
        return [(Outcome.DROP, self.drop), (Outcome.FAIL, self.fail), (Outcome.BUSY, self.busy)]


class PostRouteFaults(RouteFaults):
    """The faults of a route that the worker POSTs to."""

    lost_reply: Chance = Field(default_factory=Chance)
    """The connection is closed without a reply, but the request takes effect."""
    max_bytes: Annotated[int, Field(ge=1)] | None = None
    """A larger body gets 413."""

    def outcome(self, key: str, size: int = 0) -> Outcome:
        if self.max_bytes is not None and size > self.max_bytes:
            return Outcome.TOO_LARGE
        return super().outcome(key)

    def _chances(self) -> list[tuple[Outcome, Chance]]:
        return [*super()._chances(), (Outcome.LOSE_REPLY, self.lost_reply)]


class Faults(_Model):
    """All faults, as `PUT /faults` takes them. By default, none."""

    seed: int = 0
    stream: PostRouteFaults = Field(default_factory=PostRouteFaults)
    done: PostRouteFaults = Field(default_factory=PostRouteFaults)
    take: RouteFaults = Field(default_factory=RouteFaults)
    duplicate: Chance = Field(default_factory=Chance)
    """A job is delivered twice."""
    hold_until_stop: bool = False
    """Jobs are delivered only to workers that were sent SIGTERM."""
    miss_pings: bool = False
    """Pings get no reply and are ignored."""
    forget_keys: bool = False
    """Idempotency keys are ignored: a POST that is sent twice takes effect twice."""

    def route(self, name: str) -> RouteFaults:
        """The faults of a route: stream, done or take. Raises KeyError."""
        return {"stream": self.stream, "done": self.done, "take": self.take}[name]

    def outcome(self, route: str, key: str, size: int = 0) -> Outcome:
        """What happens to a request to a route; `key` identifies the request in this run."""
        return self.route(route).outcome(f"{self.seed}/{route}/{key}", size)

    def duplicates(self, key: str) -> bool:
        """Whether a job that is being delivered is to be delivered again."""
        draw = random.Random(f"{self.seed}/duplicate/{key}").random()  # noqa: S311 - repeatable
        return self.duplicate.consume_next() or draw < self.duplicate.rate

    def to_object(self) -> dict[str, Any]:
        return self.model_dump()


def problems(error: ValidationError) -> str:
    """What is wrong with faults that were refused, in words: "stream.fail.rate must be 1 at most,
    not 3."
    """
    return " ".join(map(_problem, error.errors()))


def _problem(wrong: ErrorDetails) -> str:
    path, kind = ".".join(map(str, wrong["loc"])), wrong["type"]
    if kind == "json_invalid":
        return "The body is not JSON."
    if kind == "extra_forbidden":
        return f"{path} is not a fault."
    given = json.dumps(wrong["input"], ensure_ascii=False)[:40]
    return f"{path or 'The body'} must be {_demand(kind, wrong.get('ctx', {}))}, not {given}."


def _demand(kind: str, limits: Mapping[str, Any]) -> str:
    """What a setting takes, by the type of pydantic's error: `int_parsing`, `less_than_equal`."""
    match kind.partition("_")[0]:
        case "greater":
            return f"{limits['ge']:g} or more"
        case "less":
            return f"{limits['le']:g} at most"
        case "int":
            return "a whole number"
        case "bool":
            return "true or false"
        case "model":
            return "an object"
        case _:
            return "a number"

"""Faults: what can go wrong between a worker and the platform, switched on at will.

Rules: pure. A POST of a job meets the same fate in each run with the same seed, however the jobs
interleave: its fate hangs on the seed, the door, the job's number and the POST's number alone.
Latency comes after the receipt was stamped, and before the reply.
"""

import random
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Rate = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Fate(Enum):
    """What becomes of a request."""

    FINE = "fine"
    FAIL = "fail"
    BUSY = "busy"
    DROP = "drop"
    LOSE_REPLY = "lose reply"
    TOO_LARGE = "too large"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Chance(_Model):
    """How often a fault strikes: the `next` n times for certain, and then at a `rate`."""

    rate: Rate = 0
    next: Count = 0

    def due(self) -> bool:
        """Takes one of the `next`, if there is one."""
        if self.next == 0:
            return False
        self.next -= 1
        return True


class Door(_Model):
    """What can happen to the requests at one of the worker's doors, whatever they bring."""

    latency_ms: Annotated[float, Field(ge=0)] = 0
    fail: Chance = Field(default_factory=Chance)
    """A 5xx reply."""
    fail_status: Annotated[int, Field(ge=500, le=599)] = 503
    busy: Chance = Field(default_factory=Chance)
    """429 with Retry-After."""
    retry_after_s: Annotated[int, Field(ge=0)] = 1
    drop: Chance = Field(default_factory=Chance)
    """The connection is closed without a reply; what was sent is lost."""

    def fate(self, key: str, size: int = 0) -> Fate:
        """What becomes of a request; `key` is what its luck hangs on."""
        del size
        chances = self._chances()
        for fate, chance in chances:
            if chance.due():
                return fate
        luck = random.Random(key).random()  # noqa: S311 - repeatable, not secret
        for fate, chance in chances:
            if luck < chance.rate:
                return fate
            luck -= chance.rate
        return Fate.FINE

    def _chances(self) -> list[tuple[Fate, Chance]]:
        return [(Fate.DROP, self.drop), (Fate.FAIL, self.fail), (Fate.BUSY, self.busy)]


class PostDoor(Door):
    """What can happen, besides, to what a worker brings."""

    lost_reply: Chance = Field(default_factory=Chance)
    """The connection is closed without a reply; what was sent counts."""
    max_bytes: Annotated[int, Field(ge=1)] | None = None
    """A larger body gets 413."""

    def fate(self, key: str, size: int = 0) -> Fate:
        if self.max_bytes is not None and size > self.max_bytes:
            return Fate.TOO_LARGE
        return super().fate(key)

    def _chances(self) -> list[tuple[Fate, Chance]]:
        return [*super()._chances(), (Fate.LOSE_REPLY, self.lost_reply)]


class Faults(_Model):
    """All faults, as `PUT /faults` takes them; the default is none."""

    seed: int = 0
    stream: PostDoor = Field(default_factory=PostDoor)
    done: PostDoor = Field(default_factory=PostDoor)
    take: Door = Field(default_factory=Door)
    duplicate: Chance = Field(default_factory=Chance)
    """A job is delivered once more than it should be."""
    hold_until_stop: bool = False
    """Jobs reach only a worker that was sent SIGTERM, until the fault is taken off."""
    miss_pings: bool = False
    """Pings get no reply and count for nothing."""
    forget_keys: bool = False
    """What comes twice with one Idempotency-Key counts twice."""

    def door(self, name: str) -> Door:
        """The faults of a door: stream, done or take."""
        return {"stream": self.stream, "done": self.done, "take": self.take}[name]

    def fate(self, door: str, key: str, size: int = 0) -> Fate:
        """What becomes of a request at a door."""
        return self.door(door).fate(f"{self.seed}/{door}/{key}", size)

    def duplicates(self, key: str) -> bool:
        """Whether a job that is delivered now shall be delivered again."""
        luck = random.Random(f"{self.seed}/duplicate/{key}").random()  # noqa: S311 - repeatable
        return self.duplicate.due() or luck < self.duplicate.rate

    def to_object(self) -> dict[str, Any]:
        return self.model_dump()

"""Timestamps, as the emulator records them.

Rule: every timestamp has both clocks. The monotonic clock is shared by all processes of a machine,
so the time of a receipt can be compared with one that the worker measured; the wall clock is for
people.
"""

import time
from collections.abc import Callable
from typing import NamedTuple


class Moment(NamedTuple):
    """A point in time, in seconds on both clocks."""

    monotonic: float
    wall: float


Clock = Callable[[], Moment]


def now() -> Moment:
    return Moment(time.monotonic(), time.time())

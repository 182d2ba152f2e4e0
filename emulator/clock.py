"""Time as the emulator records it.

Rule: every record has both clocks. The monotonic one is the same for all processes of a machine,
so a receipt can be compared with a time that the worker measured; the wall clock is for people.
"""

import time
from collections.abc import Callable
from typing import NamedTuple


class Moment(NamedTuple):
    """One point in time, in seconds on both clocks."""

    monotonic: float
    wall: float


Clock = Callable[[], Moment]


def now() -> Moment:
    return Moment(time.monotonic(), time.time())

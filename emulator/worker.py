"""What the control plane knows of one worker: its polls, its pings, its end.

Rule: pure. A worker is known from its first request on, whoever started its process.
"""

from dataclasses import dataclass, field

from emulator.clock import Moment


@dataclass(slots=True)
class Worker:
    """One worker, as seen from outside."""

    id: str
    since: Moment
    pid: int | None = None
    polls: int = 0
    """How often it has asked for jobs."""
    last_ping: Moment | None = None
    pings: int = 0
    reported: tuple[str, ...] = ()
    """The jobs that it said it had, with its last ping."""
    unhealthy: str | None = None
    """Why it gets no jobs: it said so itself, or it was not heard of."""
    told_to_stop: bool = False
    exit_code: int | None = None
    gone: bool = False
    to_stop: list[str] = field(default_factory=list[str])
    """Jobs that it shall stop, for its next poll of the stop channel."""

    def state(self, jobs: int) -> str:
        """Its state in a word; `jobs`: how many it has."""
        if self.gone:
            return "exited"
        if self.told_to_stop:
            return "stopping"
        if self.unhealthy:
            return "unhealthy"
        if not self.polls:
            return "initializing"
        return "running" if jobs else "idle"

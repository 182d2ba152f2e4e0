"""What the control plane knows about one worker: its polls, its pings, its exit.

Rule: no I/O. A worker is known from its first request on, whoever started its process.
"""

from dataclasses import dataclass, field

from emulator.clock import Moment


@dataclass(slots=True)
class Worker:
    """One worker, as seen by the control plane."""

    id: str
    since: Moment
    pid: int | None = None
    polls: int = 0
    """How often it has polled for jobs."""
    last_ping: Moment | None = None
    pings: int = 0
    reported: tuple[str, ...] = ()
    """The jobs in its last ping."""
    unhealthy: str | None = None
    """Why it gets no jobs: it reported itself unhealthy, its pings stopped, or it exited."""
    stopping: bool = False
    exit_code: int | None = None
    exited: bool = False
    jobs_to_stop: list[str] = field(default_factory=list[str])
    """Jobs that it is to stop, for its next poll of the stop channel."""

    def state(self, jobs: int) -> str:
        """Its state, as the admin API names it. `jobs`: how many it has."""
        if self.exited:
            return "exited"
        if self.stopping:
            return "stopping"
        if self.unhealthy:
            return "unhealthy"
        if not self.polls:
            return "initializing"
        return "running" if jobs else "idle"

"""The questions that `make bench` answers, and the goals that their figures are held to.

A question's name is that of its module here, whose `python -m benchmarks.<name> [--quick]` writes
`<name>.json`.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from benchmarks.harness import Case, Figure, ratios, spread
from benchmarks.tables import label


class Goal(NamedTuple):
    """A bound on a median, in every case that was measured.

    `beside`: if given, the bound is on the ratio of `side` to that side, round by round.
    `case`: if given, only figures with these values count.
    """

    quantity: str
    side: str
    relation: Literal["at most", "at least"]
    bound: float
    beside: str | None = None
    case: Case = {}  # noqa: RUF012 - not a mutable default: Case is read-only

    @property
    def subject(self) -> str:
        """What the bound is on, in words."""
        sides = f"{self.side} / {self.beside}" if self.beside else self.side
        where = f" ({label(self.case)})" if self.case else ""
        return f"{sides}{where}: {self.quantity}"


class Verdict(NamedTuple):
    """`value`: that of the worst case. `unit`: empty for a ratio."""

    held: bool
    value: float
    unit: str
    case: Case


class Question(NamedTuple):
    """`is_extra`: asked only by its name, since it decides a setting once and takes long."""

    name: str
    asks: str
    goals: Sequence[Goal] = ()
    is_extra: bool = False


BUSY_QUEUE: Case = {"streams": 32, "ms per POST": 20}

QUESTIONS = (
    Question(
        "engine_cost",
        "What does a token cost on the CPU, beside SGLang's engine and its chat completions?",
        [Goal("added", "worker", "at most", 10)],
    ),
    Question("api_cost", "What do responses and messages cost beside chat completions?"),
    Question(
        "path_ceiling",
        "How many tokens a second can pass through the worker on one core, if the engine costs "
        "nothing?",
        [
            Goal("ceiling", "SSE strings", "at least", 60_000),
            Goal("ceiling", "HTTP", "at least", 25_000),
        ],
    ),
    Question(
        "prompt_stall",
        "How long does a long prompt keep other streams waiting?",
        [
            Goal("added to the gap", "beside new histories", "at most", 10),
            Goal("second turn", "worker", "at most", 3),
        ],
    ),
    Question(
        "http_peers",
        "What does the HTTP server cost, and how steady is it, beside sglang.launch_server?",
        [
            Goal("speed", "worker.serve", "at least", 0.98, beside="sglang.launch_server"),
            Goal("CPU", "worker.serve", "at most", 0.7, beside="sglang.launch_server"),
            Goal("TTFT", "worker.serve", "at most", 1, beside="sglang.launch_server"),
            Goal("gap p99", "worker.serve", "at most", 1, beside="sglang.launch_server"),
            Goal("health p99", "worker.serve", "at most", 1, beside="sglang.launch_server"),
        ],
    ),
    Question(
        "queue_lag",
        "How far behind the engine is what the queue's clients see, beside workers that proxy to "
        "a server?",
        [
            Goal("over its POST p99", "worker", "at most", 5),
            *(
                Goal(quantity, "worker", "at most", 1, beside=proxy)
                for quantity in ("TTFT", "lag p99", "total")
                for proxy in ("blocking proxy", "async proxy")
            ),
            Goal("total", "blocking proxy", "at least", 5, "worker", BUSY_QUEUE),
        ],
    ),
    Question(
        "agent_loops",
        "Do an agent's turns stay as fast as its first ones, and what keeps them so?",
        [
            Goal("TTFT, last turns over first", side, "at most", 1.3)
            for side in ("one worker", "two workers, capsules")
        ],
    ),
    Question(
        "parsing",
        "What do reading a completion and writing a prompt cost, beside openai_harmony and SGLang?",
    ),
    Question(
        "memory",
        "What does a stream hold while it runs, and does anything grow over thousands of requests?",
        [
            Goal("held", f"{path}, HTTP", "at most", 50)
            for path in ("/v1/chat/completions", "/v1/responses", "/v1/messages")
        ],
    ),
    Question(
        "header_grammar",
        "How much speed does the header grammar cost?",
        [Goal("speed", "constrained headers", "at least", 0.98, beside="free headers")],
        is_extra=True,
    ),
    Question(
        "boot",
        "What does the worker add to the boot of SGLang's engine, and what does reading the files "
        "ahead save?",
        [Goal("added to boot", "worker", "at most", 0.5)],
    ),
    Question(
        "idle",
        "What does an engine that sleeps when it is idle cost the first token, and what does it "
        "save?",
        [Goal("idle", "sleeps", "at most", 0.05)],
        is_extra=True,
    ),
    Question(
        "engine_settings",
        "Do stream_interval or msgpack save the main process CPU?",
        is_extra=True,
    ),
)


def verdict(goal: Goal, figures: Sequence[Figure]) -> Verdict | None:
    """None if nothing was measured that the goal is about: a quick run leaves out most cases."""
    judged = [
        (spread(values).median, "" if goal.beside else each.unit, each.case)
        for each in figures
        if (each.name, each.side) == (goal.quantity, goal.side)
        and goal.case.items() <= each.case.items()
        and (values := _judged(goal, each, figures))
    ]
    if not judged:
        return None
    worst = max if goal.relation == "at most" else min
    value, unit, case = worst(judged, key=lambda each: each[0])
    held = value <= goal.bound if goal.relation == "at most" else value >= goal.bound
    return Verdict(held, value, unit, case)


def _judged(goal: Goal, figure: Figure, figures: Sequence[Figure]) -> Sequence[float]:
    """The values that the bound is on; none if there is nothing beside the figure."""
    if goal.beside is None:
        return figure.values
    other = [each for each in figures if each[:4] == figure._replace(side=goal.beside)[:4]]
    return ratios(figure.values, other[0].values) if other else []

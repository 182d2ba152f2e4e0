"""Do an agent's turns stay as fast as its first ones, and what keeps them so?

Eight agents ask the same model at the same time, twenty turns each. Every turn makes one call, and
its history grows by the call and its result; like most chat clients, the agents send back no
reasoning. Two comparisons, on one engine with the demo model, whose output is scripted:

- one worker, with and without the turn memory (REASONING_MEMORY_MB);
- two workers, each turn on the other one than the turn before, with and without capsules in the
  calls' ids (REASONING_IN_CALL_IDS). Each worker has a turn memory and a prefix cache of its own.

Measured of each turn: the share of its prompt that was in the prefix cache, the time to its first
token, how much of it is the worker's own, before the engine has the prompt, and the share of the
history's turns that the model sees with their reasoning. The sides of a comparison take their turns
in turn. Goal: the last ten turns' first tokens take at most 1.3 times as long as those of the first
ten (medians over all agents). A CPU's attention takes longer, the longer the history.
Run: `python -m benchmarks.agent_loops [--quick] [--turns N]`.
"""

import asyncio
import statistics
from collections.abc import Mapping, Sequence

import uvloop

from benchmarks.harness import Figure, question_parser, ratios, save
from benchmarks.tables import markdown, tables
from benchmarks.tool_loop import Agent, LoopEngine, TurnFigures
from worker.engine import SglangEngine, server_args
from worker.model import Model, resolve
from worker.service import Service
from worker.settings import Settings

AGENTS, TURNS = 8, 20
QUICK_AGENTS, QUICK_TURNS = 2, 5
ENDS = 10
"""Turns at the beginning and at the end whose times are compared."""
SHOWN = (1, 2, 3, 5, 10, 20, 30, 40, 50)
"""Turns whose cached share is reported."""
THOUGHT = "Rain?"
"""What the model thinks before each call; short, as decoding takes most of the time on a CPU."""
CALL_ID_LENGTH = 2048
"""Characters, for capsules: more than any of these turns needs."""
POOL = 300_000
"""Tokens of the KV pool: the histories of both sides of a comparison stay in it."""

Turns = Sequence[Sequence[TurnFigures]]
"""Those of one side: for each turn, one of each agent."""


class Side:
    """Agents, and the workers that they ask in turn."""

    def __init__(self, agents: Sequence[Agent], workers: Sequence[Service]) -> None:
        self._agents = agents
        self._workers = workers
        self._taken = 0

    async def turn(self) -> list[TurnFigures]:
        """All agents' next turn, at the same time."""
        worker = self._workers[self._taken % len(self._workers)]
        self._taken += 1
        return await asyncio.gather(*(agent.turn(worker) for agent in self._agents))


async def main(agents: int, turns: int) -> None:
    settings = Settings(model="demo", log_level="error", engine_args={"max_total_tokens": POOL})
    model = resolve(settings)
    engine = SglangEngine({**server_args(settings, model), "enable_custom_logit_processor": True})
    measured: dict[str, Turns] = {}
    await engine.start()
    try:
        (warm_up,) = workers(engine, model, "warm-up", [settings])
        await Agent().turn(warm_up)
        for compared in comparisons(settings):
            sides = {
                name: Side(
                    [Agent(f"town {number}") for number in range(agents)],
                    workers(engine, model, name, each),
                )
                for name, each in compared.items()
            }
            measured |= await turns_of(sides, turns)
    finally:
        await engine.close()
    figures = [figure for side, taken in measured.items() for figure in figures_of(side, taken)]
    print(f"medians (quartiles) over {agents} agents, {turns} turns each")
    for table in tables(figures):
        print(f"\n{markdown(table)}")
    save("agent_loops", figures)


def comparisons(settings: Settings) -> Sequence[Mapping[str, Sequence[Settings]]]:
    """The sides of each, with the settings of their workers."""
    without_memory = settings.model_copy(update={"reasoning_memory_mb": 0})
    capsules = settings.model_copy(update={"reasoning_in_call_ids": CALL_ID_LENGTH})
    return (
        {"one worker": [settings], "one worker, no turn memory": [without_memory]},
        {"two workers, capsules": [capsules] * 2, "two workers, no capsules": [settings] * 2},
    )


def workers(
    engine: SglangEngine, model: Model, side: str, each: Sequence[Settings]
) -> Sequence[Service]:
    """Workers that share the engine, but nothing that it remembers."""
    return [
        Service(LoopEngine(engine, THOUGHT, cache=f"{side}, {number}"), model, settings)
        for number, settings in enumerate(each)
    ]


async def turns_of(sides: Mapping[str, Side], turns: int) -> Mapping[str, Turns]:
    """One round each turn."""
    taken: dict[str, list[list[TurnFigures]]] = {name: [] for name in sides}
    for number in range(turns):
        for name in sorted(sides, reverse=number % 2 == 1):
            taken[name].append(await sides[name].turn())
    return taken


def figures_of(side: str, turns: Turns) -> list[Figure]:
    """Each has a value for each agent."""
    agents = list(zip(*turns, strict=True))
    made = [
        Figure("cached", side, "% of the prompt", {"turn": number}, list(map(cached, turn)))
        for number, turn in enumerate(turns, start=1)
        if number in SHOWN
    ]
    ends = min(ENDS, len(turns) // 2)
    parts = {
        f"first {ends}": [of_agent[:ends] for of_agent in agents],
        f"last {ends}": [of_agent[-ends:] for of_agent in agents],
    }
    ttft = {name: [ttft_ms(part) for part in of] for name, of in parts.items()}
    for name, of in parts.items():
        before = [before_engine_ms(part) for part in of]
        made += [
            Figure("TTFT", side, "ms", {"turns": name}, ttft[name]),
            Figure("of it before the engine", side, "ms", {"turns": name}, before),
        ]
    first, last = ttft.values()
    kept = [reasoning_kept(turn) for turn in turns[-1]]
    return [
        *made,
        Figure("TTFT, last turns over first", side, "ratio", {}, ratios(last, first)),
        Figure("reasoning seen at the end", side, "% of the turns", {}, kept),
        Figure("last prompt", side, "tokens", {}, [turn.prompt for turn in turns[-1]]),
    ]


def cached(turn: TurnFigures) -> float:
    return 100 * turn.cached / turn.prompt


def ttft_ms(turns: Sequence[TurnFigures]) -> float:
    return 1000 * statistics.median(turn.ttft for turn in turns)


def before_engine_ms(turns: Sequence[TurnFigures]) -> float:
    return 1000 * statistics.median(turn.before_engine for turn in turns)


def reasoning_kept(turn: TurnFigures) -> float:
    """Of the history's turns, those that the model sees with their reasoning."""
    return 100 * (1 - turn.reasoning.get("lost", 0) / (sum(turn.reasoning.values()) or 1))


if __name__ == "__main__":
    parser = question_parser("agent_loops", __doc__)
    parser.add_argument("--turns", type=int, default=TURNS, metavar="N", help="of each agent")
    asked = parser.parse_args()
    if asked.quick:
        uvloop.run(main(QUICK_AGENTS, QUICK_TURNS))
    else:
        uvloop.run(main(AGENTS, asked.turns))

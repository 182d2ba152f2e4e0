"""Workers in turn: the model's reasoning reaches the next worker with the client, whoever it is.

Two workers behind a round-robin proxy, which remember nothing of a request once it is answered.
They have no engine: that a client's prompts continue what a real one generated is shown by
test_clients.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest

from tests.support.client_scripts import needs_node, report_of
from tests.support.fleet import Fleet
from tests.support.turns import Turn

pytestmark = pytest.mark.slow

LOOPS = ("tool_loop", "streamed_tool_loop", "tool_runner", "parallel_calls")
STORED_LOOPS = ("stored_tool_loop", "referred_tool_loop")
CARRIERS = {
    "openai_responses": "content",
    "node/openai_responses": "content",
    "agents responses": "content",
    "pydantic_ai responses": "content",
    "pydantic_ai messages": "content",
    "langchain responses": "lost",
    "langchain messages": "content",
    "litellm_responses": "content",
    "litellm_messages": "content",
    "anthropic": "content",
    "node/ai_sdk open-responses": "content",
    "node/ai_sdk openai-stateless": "lost",
    "node/ai_sdk anthropic": "content",
}
"""The clients that send all items back, and what is left of their reasoning if the key is lost:
its text, or nothing where the client sends the capsule alone."""
BY_TEXT = {"pydantic_ai responses"}
"""The clients that send the text and no capsule, for models that they do not know."""
REFERRERS = {
    "openai_responses": STORED_LOOPS,
    "node/openai_responses": STORED_LOOPS,
    "agents responses": STORED_LOOPS,
    "litellm_responses": STORED_LOOPS,
    "node/ai_sdk openai": LOOPS,  # by default it names the items of earlier turns by their IDs
}
"""The clients that name what the server has stored, in these scenarios."""

OLD, NEW, OTHER = ("old" * 12, "new" * 12, "other" * 8)
COMMON = {"MAX_MODEL_LEN": "8192", "SERVED_MODEL_NAME": "gpt-oss"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two workers with the same settings."""
    with Fleet(tmp_path_factory.mktemp("fleet"), ({}, {}), **COMMON) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def rotating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two workers while a key is replaced, each of which seals with another one; one store."""
    folder = tmp_path_factory.mktemp("rotating")
    each = ({"STATE_KEYS": f"{OLD},{NEW}"}, {"STATE_KEYS": f"{NEW},{OLD}"})
    store = str(folder / "store")
    with Fleet(folder, each, RESPONSE_STORE=store, **COMMON) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def estranged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two workers, neither of which has the other's key."""
    each = ({"STATE_KEYS": OLD}, {"STATE_KEYS": OTHER})
    with Fleet(tmp_path_factory.mktemp("estranged"), each, **COMMON) as fleet:
        yield fleet


def loops_of(client: str, fleet: Fleet, scenarios: Sequence[str]) -> tuple[list[Turn], int]:
    """Runs a client's tool loops, which must come to their answers. Returns their turns, and how
    many loops there were."""
    needs_node(client)
    before = len(fleet.turns())
    report = report_of(client, fleet.url, SCENARIOS=" ".join(scenarios))
    assert report
    for loop in report.values():
        assert isinstance(loop, dict), loop
        assert loop["answer"] == "Paris is warmer."
    return fleet.turns()[before:], len(report)


def assert_carried(turns: Sequence[Turn], loops: int) -> None:
    """Each turn on a tool's result was taken by another worker than the turn before, and its
    prompt begins with exactly the ids of that one's prompt and analysis."""
    later = [(turn, before) for before, turn in pairwise(turns) if turn.answers_call()]
    assert len(later) == len(turns) - loops
    for turn, before in later:
        assert turn.worker != before.worker
        assert turn.remembers(before)


def carried_as(client: str) -> str:
    """The source of a client's reasoning where every capsule opens."""
    return "content" if client in BY_TEXT else "capsule"


def reasoning(fleet: Fleet) -> dict[str, float]:
    """How many turns in prompts had their reasoning from each source, so far."""
    sources = ("capsule", "content", "memory", "lost")
    return {
        source: fleet.metric(f'gpt_oss_reasoning_total{{source="{source}"}}') for source in sources
    }


def difference(before: dict[str, float], after: dict[str, float]) -> dict[str, Any]:
    """What was added, without the zeros."""
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


@pytest.mark.parametrize("client", CARRIERS)
def test_reasoning_reaches_the_other_worker(fleet: Fleet, client: str) -> None:
    """By its exact ids, although neither worker stores anything."""
    before = reasoning(fleet)
    assert_carried(*loops_of(client, fleet, LOOPS))
    assert difference(before, reasoning(fleet)).keys() == {carried_as(client)}


@pytest.mark.parametrize("client", CARRIERS)
def test_reasoning_survives_a_new_key(rotating: Fleet, client: str) -> None:
    """Sealed by one worker with the old key, opened by the other that has it still."""
    before = reasoning(rotating)
    assert_carried(*loops_of(client, rotating, LOOPS))
    assert difference(before, reasoning(rotating)).keys() == {carried_as(client)}


@pytest.mark.parametrize(("client", "scenarios"), REFERRERS.items())
def test_a_store_in_a_folder_serves_both_workers(
    rotating: Fleet, client: str, scenarios: Sequence[str]
) -> None:
    """A response or an item that one worker stored is found by the other."""
    assert_carried(*loops_of(client, rotating, scenarios))


@pytest.mark.parametrize(("client", "left"), CARRIERS.items())
def test_a_loop_goes_on_when_the_key_is_lost(estranged: Fleet, client: str, left: str) -> None:
    """Its reasoning is read from the text beside the capsule, or counted as lost."""
    before = reasoning(estranged)
    loops_of(client, estranged, LOOPS)
    assert left in difference(before, reasoning(estranged))

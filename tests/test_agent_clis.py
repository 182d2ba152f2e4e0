"""Codex, Claude Code and OpenCode, as npm installs them, against the HTTP API.

The model's output is forced (tests/support/dialogue.py); what the agents do with it is real. Their
requests go in turn to two workers that remember nothing, so a prompt with a tool's result holds the
reasoning before the call only because the agent sent it back. Once, each agent talks to the real
engine.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.agent_clis import CLAUDE, CODEX, KEY, OPENCODE, Run, claude_code, codex, opencode
from tests.support.fleet import Fleet
from tests.support.http_server import CHAT, HELLO, GatedEngine, running, until
from tests.support.serving import Serving
from tests.support.turns import Turn, recorded
from tests.test_clients import FailingEngine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(program.exists() for program in (CODEX, CLAUDE, OPENCODE)),
        reason="the command-line agents are not installed; make clients does it",
    ),
]

SMALL = {"MAX_MODEL_LEN": "4096", "SERVED_MODEL_NAME": "gpt-oss"}
"""Settings of a worker whose context is smaller than these agents' instructions."""
AGENTS: dict[str, Callable[[Path, str], Run]] = {
    "codex": lambda folder, url: codex(folder, url, "Count with exec_command."),
    "claude": lambda folder, url: claude_code(folder, url, "Count with Bash."),
    "opencode-responses": lambda folder, url: opencode(
        folder, url, "Count with bash.", "@ai-sdk/openai"
    ),
    "opencode-messages": lambda folder, url: opencode(
        folder, url, "Count with bash.", "@ai-sdk/anthropic"
    ),
}
"""Each runs a command that counts files, and says what it found."""
BRIEFLY = AGENTS | {
    "claude": lambda folder, url: claude_code(folder, url, "Count with Bash.", "--tools", "Bash")
}
"""The same; the other tools of Claude Code take a real engine on a CPU two minutes to read."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    with Fleet(folder, SERVED_MODEL_NAME="gpt-oss,gpt-5.5") as workers:
        yield workers


class Session:
    """The turns that a fleet takes while an agent runs."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._before = len(fleet.turns())

    @property
    def turns(self) -> list[Turn]:
        return self._fleet.turns()[self._before :]


@pytest.fixture
def session(fleet: Fleet) -> Session:
    return Session(fleet)


def assert_reasoning_is_kept(turns: Sequence[Turn], calls: int) -> None:
    """The last prompt begins with the exact ids of so many earlier prompts and their reasoning."""
    assert sum(turns[-1].remembers(earlier) for earlier in turns[:-1]) == calls


def items(run: Run, kind: str) -> list[dict[str, object]]:
    """Codex's completed items of a type."""
    completed = [e["item"] for e in run.events if e["type"] == "item.completed"]
    return [item for item in completed if item["type"] == kind]


def blocks(run: Run, kind: str) -> list[dict[str, object]]:
    """Claude Code's content blocks of a type, whoever wrote them."""
    contents = [e["message"]["content"] for e in run.events if e["type"] in ("assistant", "user")]
    return [block for content in contents for block in content if block["type"] == kind]


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agent_runs_a_command_by_two_workers(
    fleet: Fleet, session: Session, tmp_path: Path, agent: str
) -> None:
    """It finds the file counted and its reasoning kept, though another worker took each turn."""
    run = AGENTS[agent](tmp_path, fleet.url)
    assert (run.status, run.text) == (0, "There are 42 files.")
    assert (tmp_path / "work" / "counted.txt").read_text() == "42 files\n"
    assert_reasoning_is_kept(session.turns, calls=1)


@pytest.mark.parametrize("agent", BRIEFLY)
def test_an_agent_runs_a_command_by_the_real_engine(
    engine: Serving, engine_turns: Path, tmp_path: Path, agent: str
) -> None:
    """Its second prompt comes from the cache, up to the tool's result."""
    before = len(recorded([engine_turns]))
    run = BRIEFLY[agent](tmp_path, engine.url)
    assert (run.status, run.text) == (0, "There are 42 files.")
    assert_reasoning_is_kept(recorded([engine_turns])[before:], calls=1)


@pytest.fixture(scope="module")
def engine_turns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine") / "turns.jsonl"


@pytest.fixture(scope="module")
def engine(engine_turns: Path) -> Iterator[Serving]:
    serving = Serving(
        engine_turns.with_name("log"),
        "tests.support.clients_server",
        *("--turns", str(engine_turns)),
        MAX_MODEL_LEN="32768",
        SERVED_MODEL_NAME="gpt-oss",
    )
    try:
        until(lambda: serving.ping() == 200, 280)
        yield serving
    finally:
        serving.end()


# Codex


def test_codex_calls_a_tool_of_a_namespace(fleet: Fleet, session: Session, tmp_path: Path) -> None:
    """By its own name, beside its namespace: it is Codex's own tool that answers."""
    run = codex(tmp_path, fleet.url, "Close the agent.")
    assert (run.status, run.text) == (0, "That agent is gone.")
    (called,) = items(run, "collab_tool_call")
    assert (called["tool"], called["status"]) == ("close_agent", "failed")
    assert_reasoning_is_kept(session.turns, calls=1)


def test_codex_calls_an_mcp_server(fleet: Fleet, session: Session, tmp_path: Path) -> None:
    """Whose tools are a namespace, too."""
    run = codex(tmp_path, fleet.url, "Add 40 and 2.")
    assert (run.status, run.text) == (0, "It is 42.")
    (called,) = items(run, "mcp_tool_call")
    assert (called["server"], called["tool"], called["arguments"]) == (
        "demo",
        "add",
        {"a": 40, "b": 2},
    )
    assert_reasoning_is_kept(session.turns, calls=1)


def test_codex_applies_a_patch(fleet: Fleet, session: Session, tmp_path: Path) -> None:
    """By a custom tool, which it offers to models whose name it knows."""
    run = codex(tmp_path, fleet.url, "Patch the file.", "-m", "gpt-5.5")
    assert (run.status, run.text) == (0, "It is patched.")
    assert (tmp_path / "work" / "patched.txt").read_text() == "a line\n"
    assert_reasoning_is_kept(session.turns, calls=1)


def test_codex_gets_an_answer_by_its_schema(fleet: Fleet, tmp_path: Path) -> None:
    """`--output-schema` is a strict `text.format`."""
    city = {"name": {"type": "string"}, "degrees": {"type": "integer"}}
    schema = {"type": "object", "properties": city, "required": [*city]}
    (tmp_path / "schema.json").write_text(json.dumps(schema | {"additionalProperties": False}))
    run = codex(
        tmp_path, fleet.url, "Describe Paris.", "--output-schema", str(tmp_path / "schema.json")
    )
    assert (run.status, json.loads(run.text)) == (0, {"name": "Paris", "degrees": 21})


def test_codex_compacts_its_history(fleet: Fleet, session: Session, tmp_path: Path) -> None:
    """By an ordinary request for a summary, with which it goes on."""
    limit = "model_auto_compact_token_limit = 3000"
    run = codex(tmp_path, fleet.url, "Count with exec_command.", config=limit)
    assert (run.status, run.text) == (0, "There are 42 files.")
    assert len(session.turns) == 3


def test_codex_says_that_the_context_is_full(tmp_path: Path) -> None:
    """It reads the code of the error, not its words."""
    with Fleet(tmp_path, [{}], MAX_MODEL_LEN="4096", SERVED_MODEL_NAME="gpt-oss") as small:
        run = codex(tmp_path, small.url, "Count with exec_command.")
    assert run.status == 1
    assert "ran out of room in the model's context window" in run.text


def test_codex_says_that_the_stream_failed(tmp_path: Path) -> None:
    """With the worker's own words, and not that the stream was closed."""
    with running(FailingEngine()) as server:
        run = codex(tmp_path, server.url, "Hello.")
    assert run.status == 1
    assert "stream closed" not in run.text
    assert "The worker failed to process this request" in run.text


def test_codex_says_that_there_are_too_many_requests(tmp_path: Path) -> None:
    """It would try again; the test asks it not to."""
    with (
        running(GatedEngine(free=0), api_key=KEY, max_requests_per_key=1) as server,
        server.client.stream(
            "POST",
            CHAT,
            json={**HELLO, "stream": True},
            headers={"authorization": f"Bearer {KEY}"},
        ),
    ):
        run = codex(tmp_path, server.url, "Hello.")
    assert run.status == 1
    assert "429" in run.text


# Claude Code


def test_claude_code_runs_two_commands_at_once(
    fleet: Fleet, session: Session, tmp_path: Path
) -> None:
    """Both results are in the next prompt."""
    run = claude_code(tmp_path, fleet.url, "Count twice.")
    assert (run.status, run.text) == (0, "There are 42 files.")
    assert len(blocks(run, "tool_result")) == 2
    assert_reasoning_is_kept(session.turns, calls=1)


def test_claude_code_finds_a_deferred_tool(fleet: Fleet, session: Session, tmp_path: Path) -> None:
    """It searches, calls what it found, and the prompt's head stays the same ids all along."""
    run = claude_code(tmp_path, fleet.url, "Which jobs are scheduled?", ENABLE_TOOL_SEARCH="true")
    assert (run.status, run.text) == (0, "None are scheduled.")
    assert [block["name"] for block in blocks(run, "tool_use")] == ["ToolSearch", "CronList"]
    assert_reasoning_is_kept(session.turns, calls=2)


def test_claude_code_tells_the_model_that_its_arguments_are_no_json(
    fleet: Fleet, session: Session, tmp_path: Path
) -> None:
    """The bad call comes back in the history as it was, and the model calls again."""
    run = claude_code(tmp_path, fleet.url, "Send no JSON.")
    assert (run.status, run.text) == (0, "There are 42 files.")
    assert_reasoning_is_kept(session.turns, calls=2)


def test_claude_code_measures_its_context(fleet: Fleet, tmp_path: Path) -> None:
    """By /v1/messages/count_tokens."""
    before = len(fleet.routed())
    run = claude_code(tmp_path, fleet.url, "/context")
    assert run.status == 0
    assert "131.1k" in run.text
    assert {r.path for r in fleet.routed()[before:] if r.method == "POST"} == {
        "/v1/messages/count_tokens"
    }


def test_claude_code_says_that_the_prompt_is_too_long(tmp_path: Path) -> None:
    """It knows the error by its words."""
    with Fleet(tmp_path, [{}], MAX_MODEL_LEN="4096", SERVED_MODEL_NAME="gpt-oss") as small:
        run = claude_code(tmp_path, small.url, "Count with Bash.")
    assert run.status == 1
    assert "Prompt is too long" in run.text


def test_claude_code_says_that_the_stream_failed(tmp_path: Path) -> None:
    """With the worker's own words."""
    with running(FailingEngine()) as server:
        run = claude_code(tmp_path, server.url, "Hello.")
    assert run.status == 1
    assert "The worker failed to process this request" in run.text

"""Every fenced block of README and docs/ is run as written, or checked as far as it can be here.

An example's address says who answers it: localhost:8000 is the HTTP API, 127.0.0.1:8080 the
emulator. Only the port is replaced. Both have a scripted engine, so what is answered is not tested
here, but that it is. What needs RunPod, a GPU, Docker or a client's own environment is checked: the
shell's syntax, programs, modules, options, make targets, extras and names of clients.
"""

import ast
import asyncio
import builtins
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.emulation import emulation, eventually
from tests.support.examples import Command, Example, commands, examples
from tests.support.paced_worker import PacedEngine
from tests.support.serving import Serving
from worker.api.routes import DEFAULT
from worker.entrypoints.job import exchange_of, read
from worker.errors import BadRequest
from worker.model import resolve
from worker.service import Service
from worker.settings import Settings

HTTP, EMULATOR = "localhost:8000", "127.0.0.1:8080"
ELSEWHERE = {"claude", "curl", "docker", "export", "cd", "git", "mkdir", "pip", "ssh", "tar"}
"""Programs of the reader's machine."""
NOT_HERE = {"sglang_router.launch_router"}
"""A module that a page has the reader install."""
PRELUDE = f"""
from openai import OpenAI
from anthropic import Anthropic
URL, KEY, MODEL = "http://{HTTP}/v1", "any", "demo"
client = OpenAI(base_url=URL, api_key=KEY)
tools, messages = [], [{{"role": "user", "content": "What is 2+2?"}}]
items, more = list(messages), list(messages)
"""
"""What the Python of docs/ takes for granted, as docs/clients.md says."""
SERVED = {"API_KEY": "", "SERVED_MODEL_NAME": "demo,gpt-oss", "PACE_MS": "0"}
KNOWN = {
    *("OpenAI", "Anthropic", "URL", "KEY", "MODEL", "client", "tools", "messages", "items", "more"),
    *vars(builtins),
}

ALL = list(examples())


def of(language: str) -> list[Example]:
    return [example for example in ALL if example.language == language]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The addresses in the documentation, and those of this test's server and emulator."""
    log = tmp_path_factory.mktemp("examples") / "log"
    server = Serving(log, "tests.support.examples_server", **SERVED)
    worker = (sys.executable, "-m", "tests.support.paced_worker")
    with emulation(workers=1, command=worker, MODEL="demo", PACE_MS="0") as plane:
        try:
            plane.ready()
            eventually(lambda: server.ping() == 200)
            yield {HTTP: server.url.partition("//")[2], EMULATOR: plane.url.partition("//")[2]}
        finally:
            server.end()


def answered(text: str, places: dict[str, str]) -> str:
    """An example's text, with the addresses of this test."""
    for written, here in places.items():
        text = text.replace(written, here)
    return text


def output_of(*command: str) -> str:
    """The standard output of a program that exits with 0."""
    bin_of_python = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_of_python}:{os.environ['PATH']}"}
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_every_example_is_of_a_kind_that_is_tested() -> None:
    """A drawing has no language."""
    assert {each.language for each in ALL} <= {"", "console", "python", "json", "toml", "js"}


@pytest.mark.parametrize("example", of("console"), ids=str)
def test_a_command_is_run_or_exists(example: Example, places: dict[str, str]) -> None:
    """One with an address is run, and its output is the one that is shown."""
    for command in commands(example.text):
        subprocess.run(["bash", "-n", "-c", command.text], check=True)
        if command.text.startswith("curl") and (HTTP in command.text or EMULATOR in command.text):
            ran(command, places)
        else:
            for simple in re.split(r" && ", command.text.replace("\\\n", " ")):
                exists(simple)


def ran(command: Command, places: dict[str, str]) -> None:
    printed = output_of("bash", "-c", answered(command.text, places))
    if command.output:
        assert json.loads(printed) == json.loads(command.output)
    else:
        assert printed
        assert '"error": {' not in printed
        assert '"error":{' not in printed


def exists(command: str) -> None:
    """The program, the module of `python -m`, its options; a target; an extra."""
    words = shlex.split(command, comments=True)
    while re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    program, *rest = words
    match program.rpartition("/")[2], rest:
        case "make", targets:
            assert set(targets) <= set(re.findall(r"^(\w+):", text_of("Makefile"), re.MULTILINE))
        case "python", ["-m", module, *options]:
            assert module in NOT_HERE or find_spec(module)
            if module.startswith("worker."):
                assert named(options) <= known_options("-m", module)
        case "python", [script, *options]:
            assert named(options) <= known_options(script)
        case "pip", ["install", package] if package.startswith("."):
            extras = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]
            assert set(re.findall(r"\w+", package)) <= set(extras)
        case name, _:
            assert name in ELSEWHERE


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def named(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("-")}


@cache
def known_options(*program: str) -> set[str]:
    printed = output_of(sys.executable, *program, "--help")
    return set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", printed))


def test_the_doctor_says_what_is_shown() -> None:
    """The one example that shows a program's whole output."""
    found = [command for example in of("console") for command in commands(example.text)]
    (shown,) = (command for command in found if command.output and "doctor" in command.text)
    text = shown.text.replace("python", sys.executable)
    ran = subprocess.run(["bash", "-c", text], cwd=ROOT, capture_output=True, check=False)
    assert ran.stdout.decode().strip() == shown.output


@pytest.mark.slow  # each starts a Python that imports a client: 3 s
@pytest.mark.parametrize("example", of("python"), ids=str)
def test_python_is_run(example: Example, places: dict[str, str]) -> None:
    """With the packages that are here. Of other clients, the names are those that a test uses."""
    foreign = undefined(example.text) - KNOWN
    if foreign:
        scripts = "".join(path.read_text() for path in (ROOT / "tests/clients").glob("*.py"))
        assert {name for name in foreign if not re.search(rf"\b{name}\b", scripts)} == set()
        return
    complete = "import" in example.text
    text = answered(example.text if complete else PRELUDE + example.text, places)
    printed = output_of(sys.executable, "-c", text)
    assert printed or not complete


def undefined(text: str) -> set[str]:
    """The names that a program uses and does not define."""
    tree = ast.parse(text)
    imported = {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    stored = {name.id for name in names if isinstance(name.ctx, ast.Store)}
    return {name.id for name in names} - stored - imported


@pytest.mark.parametrize("example", of("json"), ids=str)
def test_json_is_json_and_a_job_is_one_that_the_worker_takes(example: Example) -> None:
    """An error is the one that a job gets: here, one without messages."""
    value = json.loads(example.text)
    settings = Settings(model="demo")
    service = Service(PacedEngine(()), resolve(settings), settings)
    if "input" in value:
        asyncio.run(exchange_of(service, read(value["input"])))
    elif "message" in value:
        with pytest.raises(BadRequest) as refused:
            asyncio.run(exchange_of(service, read({"openai_route": "/v1/chat/completions"})))
        assert DEFAULT.error(refused.value) == {"error": value}


@pytest.mark.parametrize("example", of("toml"), ids=str)
def test_toml_can_be_read(example: Example) -> None:
    """Codex's configuration."""
    assert tomllib.loads(example.text)["model_providers"]


@pytest.mark.parametrize("example", of("js"), ids=str)
def test_javascript_has_no_syntax_error(example: Example, tmp_path: Path) -> None:
    """As a module, with top-level await."""
    script = tmp_path / "example.mjs"
    script.write_text(example.text)
    assert output_of("node", "--check", str(script)) == ""


def test_the_words_of_a_command_may_be_on_several_lines() -> None:
    """What is not indented is output."""
    block = "$ first \\\n    --option\nprinted\n$ second\n"
    assert commands(block) == [Command("first \\\n    --option", "printed"), Command("second", "")]

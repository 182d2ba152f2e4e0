"""The command line: what every command answers to --help, --version and to a mistake."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain

import pytest

import emulator
import worker
from tests.support import ROOT

IS_COMMAND = 'if __name__ == "__main__":'
FOLDERS = ("worker", "emulator", "builder", "benchmarks")
NO_COMMANDS = {
    # Processes that others of these start, with JSON as their argument or input.
    "worker.model.download",
    "benchmarks.http_servers",
    "benchmarks.queue_workers",
    "benchmarks.stream_client",
    # Steps of the image's build, which run before the worker is copied into it.
    "builder.bake_kernels",
    "builder.bake_model",
    "builder.check_image",
}
HEAVY = ("benchmarks.", "builder.demo.train")
"""What loads SGLang or torch first."""


def commands() -> Iterator[tuple[str, ...]]:
    """What a person can run."""
    yield ("handler.py",)
    for path in sorted(chain.from_iterable((ROOT / each).rglob("*.py") for each in FOLDERS)):
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__main__" else parts)
        if IS_COMMAND in path.read_text() and module not in NO_COMMANDS:
            yield ("-m", module)


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "command", [each for each in commands() if not each[-1].startswith(HEAVY)], ids=" ".join
)
def test_every_command_has_help_and_a_version_and_refuses_unknown_flags(
    command: tuple[str, ...],
) -> None:
    """Before it does anything else."""
    assert run(*command, "--help").stdout.startswith("usage: ")
    assert run(*command, "--version").stdout == f"gpt-oss-worker {worker.__version__}\n"
    refused = run(*command, "--no-such-flag")
    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert "--no-such-flag" in line


def test_commands_that_load_much_have_the_same_parser() -> None:
    """Which is looked at instead of run."""
    heavy = [each[-1] for each in commands() if each[-1].startswith(HEAVY)]
    assert len(heavy) > 10
    for module in heavy:
        text = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text()
        assert "CommandParser(" in text or "question_parser(" in text, module


@pytest.mark.parametrize(
    ("variable", "value", "must_be"),
    [
        ("PORT", "eighty", "a port from 0 to 65535"),
        ("PORT", "70000", "a port from 0 to 65535"),
        ("WORKERS", "-1", "a number of workers, 0 or more"),
        ("WORKER_COMMAND", "'python", "a command, quoted as in a shell"),
        ("WORKER_COMMAND", " ", "a command, quoted as in a shell"),
        ("PING_INTERVAL_MS", "1", "milliseconds, 1000 or more"),
        ("PING_LIMIT_S", "soon", "seconds, 0 or more"),
        ("POLL_SECONDS", "0", "seconds, more than 0"),
    ],
)
def test_a_wrong_setting_of_the_emulator_is_named(variable: str, value: str, must_be: str) -> None:
    """In one line for each, as the worker names its own."""
    refused = run("-m", "emulator", **{variable: value})
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"{variable} must be {must_be}, got ")
    assert len(refused.stderr.splitlines()) == 1


def test_a_worker_command_that_does_not_exist_is_named() -> None:
    """It is not taken for a port that is in use."""
    refused = run("-m", "emulator", PORT="0", WORKER_COMMAND="no-such-command --flag")
    assert refused.returncode == 2
    said = "WORKER_COMMAND cannot be run: no-such-command --flag: No such file or directory\n"
    assert refused.stderr.endswith(said)


def test_there_is_one_version() -> None:
    """The package's, the worker's and the emulator's, which shares no code with it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project.get("version", worker.__version__)
    assert {declared, worker.__version__, emulator.__version__} == {worker.__version__}


def test_a_flag_with_a_dash_is_not_taken_for_the_sdks() -> None:
    """`--test-input` used to answer ./test_input.json instead."""
    refused = run("handler.py", "--test-input", "{}")
    assert refused.returncode == 2
    assert refused.stderr == ("handler.py: unrecognized arguments: --test-input {}; see --help\n")


def test_the_sdks_flags_are_accepted() -> None:
    """Whatever RunPod's SDK takes; the job is refused afterwards."""
    flags = ("--rp_log_level", "ERROR", "--rp_api_host", "127.0.0.1", "--rp_api_port", "8001")
    rest = ("--rp_api_concurrency", "2", "--rp_debugger", "--test_input", "{")
    assert run("handler.py", *flags, *rest, MODEL="demo").returncode == 1


def test_the_sdk_has_no_other_flags() -> None:
    """A new version of it may."""
    from runpod.serverless import parser

    shown = run("handler.py", "--help").stdout
    options = {name for action in parser._actions for name in action.option_strings}
    assert {name for name in options if name not in shown} == set()


def test_make_lists_its_targets() -> None:
    """`make` alone and `make help`: a line for each that has a description."""
    shown = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    listed = {line.split()[1] for line in shown.splitlines()}
    assert listed >= {"setup", "run", "test", "check", "serve", "emulator", "bench", "clean"}
    assert (
        shown
        == subprocess.run(
            ["make", "--no-print-directory", "help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )

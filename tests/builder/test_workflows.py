"""GitHub's workflows: what can be known of them without GitHub.

actionlint is not in this environment (its package fetches a binary); it was run on them by hand.
"""

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ROOT

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text()
ON_THE_RUNNER = {"apt-get", "docker", "gh", "git", "sudo"}
"""Programs of GitHub's machines that need not be on this one."""


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def steps(path: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every step, with its job."""
    for job in load(path)["jobs"].values():
        for step in job["steps"]:
            yield job, step


def commands(path: Path) -> Iterator[str]:
    """Every command line; a value of a matrix stands for each of its values."""
    for job, step in steps(path):
        run = step.get("run", "")
        for line in run.replace("\\\n", " ").splitlines():
            named = re.fullmatch(r"\$\{\{ matrix\.(\w+) \}\}", line.strip())
            yield from job["strategy"]["matrix"][named[1]] if named else [line.strip()]


ALL_COMMANDS = [
    pytest.param(command, id=f"{path.stem}: {command[:50]}")
    for path in WORKFLOWS
    for command in commands(path)
]


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_every_command_exists(command: str) -> None:
    """Programs here or on GitHub's machines, and targets of the Makefile."""
    command = re.sub(r"^\w+=\$\((.*)\)$", r"\1", command)
    program, *arguments = shlex.split(command)
    assert program in ON_THE_RUNNER or shutil.which(program), program
    if program == "make":
        targets = [word for word in arguments if "=" not in word]
        assert targets
        for target in targets:
            assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


def test_ci_runs_what_a_contributor_runs() -> None:
    """Nothing else, so that a failure can be had locally."""
    made = [each for each in commands(FOLDER / "ci.yml") if each.startswith("make")]
    assert made == ["make test COVERAGE=1", "make check"]


def test_the_release_checks_the_tag_by_the_packages_version() -> None:
    """The sed of the workflow finds it."""
    (line,) = [each for each in commands(FOLDER / "release.yml") if "pyproject.toml" in each]
    pattern = re.search(r"s/\^version = \"\\\((.*?)\\\)\"", line)
    assert pattern
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    found = re.findall(
        rf'^version = "({pattern[1]})"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert found == [version]


def test_the_release_fills_in_the_images_arguments() -> None:
    """Each of them is an ARG of the Dockerfile; the image has an SBOM and provenance."""
    (build,) = [
        step["with"] for _, step in steps(FOLDER / "release.yml") if step.get("id") == "build"
    ]
    names = [line.partition("=")[0] for line in build["build-args"].splitlines()]
    declared = re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {"VERSION", "REVISION"} <= set(names) <= set(declared)
    assert (build["sbom"], build["provenance"], build["push"]) == (True, "mode=max", True)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_no_more_rights_than_it_needs(path: Path) -> None:
    """Reading by default; more is given to a job. No token is left in the working tree."""
    assert load(path)["permissions"] == {"contents": "read"}
    checkouts = [step for _, step in steps(path) if "checkout" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_script_does_not_take_its_text_from_outside(path: Path) -> None:
    """A title or a branch in `${{ }}` would be run; a matrix is our own."""
    for _, step in steps(path):
        assert set(re.findall(r"\$\{\{ (\w+)", step.get("run", ""))) <= {"matrix"}


def test_dependabot_looks_where_there_are_pins() -> None:
    """In folders that exist."""
    for update in load(ROOT / ".github" / "dependabot.yml")["updates"]:
        assert (ROOT / update["directory"].lstrip("/")).is_dir()

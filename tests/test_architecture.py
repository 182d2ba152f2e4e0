"""Who may import whom: the import rule of docs/ARCHITECTURE.md."""

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support import ROOT

MODULES = sorted([*(ROOT / "worker").rglob("*.py"), ROOT / "handler.py"])
EMULATOR = sorted((ROOT / "emulator").rglob("*.py"))


@cache
def imports(module: Path) -> tuple[str, ...]:
    return tuple(_imports(module))


def _imports(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def place(module: Path) -> str:
    return str(module.relative_to(ROOT))


def importers(package: str) -> set[str]:
    """Every module of the worker that imports `package` or something in it."""
    return {
        place(module)
        for module in MODULES
        if any(name == package or name.startswith(f"{package}.") for name in imports(module))
    }


SGLANGS_OWN = {"worker/engine/scheduler.py", "worker/engine/grammar_masks.py"}
"""What runs in SGLang's process."""


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("sglang", SGLANGS_OWN | {"worker/engine/processes.py", "worker/engine/direct_manager.py"}),
        ("torch", {"worker/engine/grammar_masks.py"}),
        ("pynvml", {"worker/machine.py"}),
        ("xgrammar", SGLANGS_OWN | {"worker/engine/bounded_strings.py"}),
        (
            "runpod",
            {"worker/entrypoints/queue/__init__.py", "worker/entrypoints/queue/control_plane.py"},
        ),
        ("emulator", set[str]()),
        ("benchmarks", set[str]()),
        ("builder", set[str]()),
    ],
)
def test_an_outside_package_is_imported_in_one_place(package: str, allowed: set[str]) -> None:
    """SGLang and the SDK change with each release: a process has one door to each."""
    assert importers(package) == allowed


def test_openai_harmony_is_known_to_the_harmony_package_alone() -> None:
    """The rest of the worker sees ids and events."""
    assert all(name.startswith("worker/harmony/") for name in importers("openai_harmony"))


INNER = [
    "worker/errors.py",
    "worker/json_depth.py",
    "worker/harmony/",
    "worker/turn.py",
    "worker/api/",
]


def test_the_memory_formula_does_no_io() -> None:
    """It can be tried with made-up GPUs."""
    known = {name for name in imports(ROOT / "worker/model/fit.py") if "." in name}
    assert {name for name in known if name.startswith("worker")} == {
        "worker.model.gpus",
        *(f"worker.model.gpus.{name}" for name in ("MIB", "Gpu")),
    }
    assert not {"os", "json", "pathlib"} & set(imports(ROOT / "worker/model/fit.py"))


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize(
    "outer",
    ["worker.entrypoints", "worker.engine", "worker.settings", "worker.service", "worker.model"],
)
def test_the_pure_parts_know_nothing_of_the_rest(inner: str, outer: str) -> None:
    """Errors, Harmony, turns and APIs can be read, and tested, alone."""
    assert not {name for name in importers(outer) if name.startswith(inner)}


def test_harmony_knows_errors_and_a_limit_alone() -> None:
    """It is a format; the APIs are its users."""
    known = {
        name
        for module in MODULES
        if place(module).startswith("worker/harmony/")
        for name in imports(module)
        if name.startswith("worker.") and not name.startswith("worker.harmony")
    }
    assert {".".join(name.split(".")[:2]) for name in known} == {
        "worker.errors",
        "worker.json_depth",
    }


def test_rendering_parsing_and_grammar_do_not_know_each_other() -> None:
    """What they share stands between them: conversation, events, names of tools, vocabulary."""
    rooms = ("rendering", "parsing", "grammar")
    for room in rooms:
        users = importers(f"worker.harmony.{room}") - {"worker/harmony/__init__.py"}
        inside = {name for name in users if name.startswith("worker/harmony/")}
        assert {name.split("/")[2] for name in inside} <= {room}


def test_dialects_do_not_know_each_other() -> None:
    """Nor does anything but the table of routes know one."""
    dialects = [folder.name for folder in (ROOT / "worker/api").iterdir() if folder.is_dir()]
    for dialect in {*dialects} - {"__pycache__"}:
        outside = {
            name
            for name in importers(f"worker.api.{dialect}")
            if not name.startswith(f"worker/api/{dialect}/")
        }
        assert outside == {"worker/api/routes.py"}


def test_no_two_modules_classes_or_constants_share_a_name() -> None:
    """A name means one thing; in dialects, which are parallel folders, the same file does."""
    modules = [m.stem for m in MODULES if m.stem != "__init__" and not is_in_dialect(m)]
    classes = [
        node.name
        for module in MODULES
        for node in ast.parse(module.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    constants = [
        target.id
        for module in MODULES
        for node in ast.parse(module.read_text()).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id[0].isupper()
        if target.id not in {"DIALECT", "T"}  # one of each API; a type variable
    ]
    for names in (modules, [*classes, *constants]):
        assert [name for name, count in Counter(names).items() if count > 1] == []


def is_in_dialect(module: Path) -> bool:
    return module.parent.parent == ROOT / "worker/api"


def test_the_engine_and_harmony_meet_only_in_the_service() -> None:
    """The parser never sees an engine. (The engine borrows two ids of the vocabulary.)"""
    both = importers("worker.harmony") & importers("worker.engine")
    assert {name for name in both if not name.startswith("worker/engine/")} == {"worker/service.py"}


def test_the_environment_is_read_in_one_place() -> None:
    """Elsewhere os.environ only sets what the SDK, openai_harmony and SGLang read."""
    users = {place(m) for m in MODULES if "environ" in m.read_text() and "os" in set(imports(m))}
    assert users == {
        "handler.py",
        "worker/settings.py",
        "worker/harmony/vocabulary.py",
        "worker/engine/processes.py",
    }


def test_the_emulator_does_not_know_the_worker() -> None:
    """They meet on HTTP: the emulator can stand for RunPod only if it shares no code with us."""
    known = {name for module in EMULATOR for name in imports(module)}
    assert not {name for name in known if name.partition(".")[0] in {"worker", "handler", "runpod"}}


@pytest.mark.parametrize(
    "name", ["account", "endpoint", "job", "queue", "worker", "workers", "faults"]
)
def test_the_emulators_rules_can_be_tried_without_a_server(name: str) -> None:
    """No HTTP, no processes, no event loop: a clock in a test is enough."""
    outside = {"starlette", "uvicorn", "httpx", "asyncio", "subprocess"}
    shells = {f"emulator.{shell}" for shell in ("web", "pool", "app_state", "server", "notifier")}
    assert not (outside | shells) & set(imports(ROOT / "emulator" / f"{name}.py"))


def test_the_deployment_stands_alone() -> None:
    """It runs on a laptop: it knows settings, the memory formula and what every command shares;
    nobody knows it."""
    inside = [module for module in MODULES if place(module).startswith("worker/deploy/")]
    known = {name for module in inside for name in imports(module) if name.startswith("worker.")}
    others = {name for name in known if not name.startswith("worker.deploy")}
    assert {".".join(name.split(".")[:2]) for name in others} <= {
        "worker.model",
        "worker.settings",
        "worker.command",
        "worker.__version__",
    }
    users = importers("worker.deploy")
    assert {name for name in users if not name.startswith("worker/deploy/")} == set()


def test_every_module_says_what_it_is_for() -> None:
    """A docstring at the head of each module."""
    every = [*MODULES, *EMULATOR]
    assert [place(m) for m in every if not ast.get_docstring(ast.parse(m.read_text()))] == []


def test_no_function_is_longer_than_fifty_lines() -> None:
    """A function fits on a screen."""
    long = [
        f"{place(module)}:{node.name}"
        for module in (*MODULES, *EMULATOR)
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= 50
    ]
    assert long == []

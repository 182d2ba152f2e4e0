"""The image, as far as it can be known without building it: the Dockerfile and what it copies.

What the base image holds is taken from SGLang's own metadata: what it depends on is in there.
"""

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from builder import check_image
from tests.support import ROOT

PINS = dict(check_image.pins())
IN_THE_BASE = {"python_version": "3.12", "python_full_version": "3.12.3"}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's: keyword and words, each on one line."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    parted = [line.partition(" ") for line in text.splitlines() if line]
    return [(keyword, " ".join(words.split())) for keyword, _, words in parted]


def of(keyword: str) -> list[str]:
    return [words for each, words in instructions() if each == keyword]


SOURCES = [source for words in of("COPY") for source in words.split()[:-1]]


def ignored(path: Path) -> bool:
    """By Docker's rule: the last line counts that matches the path or a folder above it."""
    result = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = re.escape(line.removeprefix("!"))
        pattern = pattern.replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if re.fullmatch(f"{pattern}(/.*)?", path.as_posix()):
            result = not line.startswith("!")
    return result


def sent() -> set[Path]:
    """What of this tree goes to the build, from the repository's root."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=True)
    return {path for path in map(Path, tracked.stdout.decode().split()) if not ignored(path)}


def test_the_base_is_exact_and_holds_the_sglang_that_is_tested() -> None:
    """A CUDA 13 image, by its full tag, of the release that the CPU environment has."""
    assert of("ARG") == ["BASE_IMAGE=lmsysorg/sglang:v0.5.23-cu130"]
    assert of("FROM") == ["${BASE_IMAGE}"]
    assert metadata.version("sglang") == check_image.SGLANG == "0.5.23"


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_copied_exists_and_is_sent_to_the_build(source: str) -> None:
    """A file that is, or a folder of such files."""
    assert (ROOT / source).exists()
    assert [path for path in sent() if path.is_relative_to(source)]


def test_nothing_is_sent_that_is_not_copied() -> None:
    """No CPU stand-ins, no demo model, no tests, and nothing that lies about in a work tree."""
    assert [path for path in sent() if not any(path.is_relative_to(s) for s in SOURCES)] == []
    for lying_about in (".env", ".git/config", ".venv/pyvenv.cfg", ".demo-model/config.json"):
        assert ignored(Path(lying_about))
    assert ignored(Path("worker/api/__pycache__/chat.cpython-311.pyc"))


def test_what_is_copied_runs_alone_and_offline(tmp_path: Path) -> None:
    """The check that the build makes: every module is imported, the vocabulary loaded."""
    for path in sent():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    done = subprocess.run(
        [sys.executable, "builder/check_image.py"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HTTPS_PROXY": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Image check passed" in done.stdout, done.stderr


def brought_by(requirement: str) -> set[str]:
    """The packages that come with one, where Python and the system are the base image's."""
    seen, todo = set[str](), [Requirement(requirement)]
    while todo:
        needed = todo.pop()
        for name in (needed.name, *(f"{needed.name}[{extra}]" for extra in needed.extras)):
            if canonicalize_name(name) not in seen:
                seen.add(canonicalize_name(name))
                extra = name.partition("[")[2].rstrip("]")
                todo += needs(needed.name, extra)
    return seen


def needs(name: str, extra: str) -> list[Requirement]:
    try:
        declared = map(Requirement, metadata.requires(name) or [])
    except metadata.PackageNotFoundError:  # of the CUDA world, and not in the CPU environment
        return []
    here = IN_THE_BASE | {"extra": extra}
    return [each for each in declared if each.marker is None or each.marker.evaluate(here)]


def test_every_package_that_the_worker_loads_is_in_the_image() -> None:
    """SGLang brings it, or it is pinned. Nothing is pinned that the worker does not load."""
    script = (
        "import runpy, sys; runpy.run_path('builder/check_image.py', run_name='__main__');"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    owners = metadata.packages_distributions()
    modules = done.stdout.splitlines()[-1].split()
    loaded = {canonicalize_name(name) for module in modules for name in owners.get(module, [])}
    assert loaded - brought_by("sglang") - set(PINS) == set()
    assert set(PINS) - loaded == set()


def test_the_pins_are_the_versions_that_are_tested() -> None:
    """The CPU environment's; and pip installs them alone, so that SGLang's stay as they are."""
    locked = (ROOT / "builder" / "cpu" / "requirements.txt").read_text().splitlines()
    assert {f"{name}=={version}" for name, version in PINS.items()} <= set(locked)
    (install,) = [words for words in of("RUN") if "pip install" in words]
    assert "--no-deps -r builder/requirements.txt" in install


def test_no_secret_is_in_a_layer() -> None:
    """No variable that could hold one, nothing fetched, no host key of sshd."""
    named = " ".join(of("ENV") + of("ARG"))
    assert not re.search("token|secret|password|api_key|credential", named, re.IGNORECASE)
    assert not of("ADD")
    assert "http" not in " ".join(of("RUN"))
    (packages,) = [words for words in of("RUN") if "openssh-server" in words]
    assert "rm -rf /etc/ssh/ssh_host_*" in packages.partition("apt-get install")[2]


def test_the_start_command_is_the_start_script() -> None:
    """Without the base image's entrypoint, by a path that no volume of RunPod's hides."""
    assert of("ENTRYPOINT") == ["[]"]
    assert of("CMD") == ['["/app/builder/start.sh"]']
    assert of("WORKDIR") == ["/app"]
    assert os.access(ROOT / "builder" / "start.sh", os.X_OK)
    assert of("EXPOSE") == ["8000 22"]

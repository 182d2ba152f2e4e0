"""The image, as far as it can be known without building it: the Dockerfile and what it copies.

What the base image holds is taken from SGLang's own metadata: what it depends on is in there. Its
programs are stubs here (`Base`), and so is its Python where a script starts it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

import pytest
from huggingface_hub.utils import filter_repo_objects
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from builder import bake_kernels, bake_model, check_image
from tests.support import ROOT
from tests.support.container import free_port
from tests.support.http_server import until
from worker.model import files as model_files

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


@cache
def sent() -> set[Path]:
    """What of this tree goes to the build, from the repository's root."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=True)
    return {path for path in map(Path, tracked.stdout.decode().split()) if not ignored(path)}


class Image:
    """The image's files, as the Dockerfile's COPY instructions make them, on a stub of the base."""

    def __init__(self, folder: Path) -> None:
        self.app = folder / "app"
        self.base = folder / "base"
        for words in of("COPY"):
            *sources, target = words.split()
            for path in sent():
                for source in map(Path, sources):
                    if path.is_relative_to(source):
                        inside = path.name if path == source else path.relative_to(source)
                        self._copy(path, self.app / target / inside)
        for tool in check_image.TOOLS:
            self.add_tool(tool, "exit 0")
        self._installed("sglang-kernel", "0.4.10")
        (self.base / "site" / "triton_kernels").mkdir()
        (self.base / "site" / "triton_kernels" / "__init__.py").touch()

    @staticmethod
    def _copy(path: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, target)

    def add_tool(self, name: str, script: str) -> None:
        """A program of the base image."""
        tool = self.base / "bin" / name
        tool.parent.mkdir(parents=True, exist_ok=True)
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)

    def remove_tool(self, name: str) -> None:
        (self.base / "bin" / name).unlink()

    def _installed(self, name: str, version: str) -> None:
        """A package of the base image, as far as its metadata."""
        info = self.base / "site" / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    def replace_kernel(self, version: str) -> None:
        for info in (self.base / "site").glob("sglang_kernel-*"):
            shutil.rmtree(info)
        self._installed("sglang-kernel", version)

    def run(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the image. Of this machine it has the shell's own programs alone."""
        variables = {
            "PATH": f"{self.base / 'bin'}:/usr/bin:/bin",
            "PYTHONPATH": str(self.base / "site"),
            "SGLANG_CACHE_DIR": str(self.base / "cache"),
            "SGLANG_JIT_CACHE_DIR": str(self.base / "cache" / "jit"),
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "HOME": str(self.base),
            "HOSTNAME": "container",
        }
        return subprocess.run(
            command,
            cwd=self.app,
            env=variables | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def check(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """What the build runs at its end."""
        return self.run(sys.executable, "builder/check_image.py", **environment)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


def test_the_base_is_exact_and_holds_the_sglang_that_is_tested() -> None:
    """A CUDA 13 image, by its full tag, of the release that the CPU environment has."""
    assert of("ARG")[0] == "BASE_IMAGE=lmsysorg/sglang:v0.5.23-cu130-runtime"
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


def test_what_is_copied_runs_alone_and_offline(image: Image) -> None:
    """The check that the build makes: every module is imported, the vocabulary loaded."""
    done = image.check()
    assert "Image check passed" in done.stdout, done.stderr


@pytest.mark.parametrize("tool", check_image.TOOLS)
def test_a_base_without_a_program_fails_the_build(tool: str, image: Image) -> None:
    """Without a compiler, the worker would fail at its first request."""
    image.remove_tool(tool)
    done = image.check(PATH=str(image.base / "bin"))
    assert done.returncode == 1
    assert done.stderr.strip() == f"{tool} is missing."


def test_a_base_with_an_old_kernel_package_fails_the_build(image: Image) -> None:
    """SGLang would refuse to start."""
    image.replace_kernel("0.4.8")
    assert "sglang-kernel must be at least 0.4.9, got 0.4.8." in image.check().stderr


def test_a_base_without_gpt_oss_experts_fails_the_build(image: Image) -> None:
    """triton_kernels comes in the wheel of sglang-kernel, under a name of its own."""
    shutil.rmtree(image.base / "site" / "triton_kernels")
    assert "triton_kernels is missing" in image.check().stderr


def test_sglang_without_bytecode_fails_the_build(image: Image) -> None:
    """Each start would compile it again, in three processes."""
    done = image.check(PYTHONPYCACHEPREFIX=str(image.base / "no-bytecode"))
    assert "SGLang has no bytecode" in done.stderr


@pytest.mark.parametrize("variable", ["SGLANG_CACHE_DIR", "SGLANG_JIT_CACHE_DIR"])
def test_both_caches_are_set_by_the_image(variable: str, image: Image) -> None:
    """One does not follow the other."""
    assert f"{variable}=/opt/cache/sglang" in " ".join(of("ENV"))
    assert f"{variable} must be a folder" in image.check(**{variable: ""}).stderr


@pytest.mark.parametrize(
    ("environment", "started"),
    [
        ({}, "python3 -m worker.serve"),
        ({"RUNPOD_WEBHOOK_GET_JOB": "https://x/job-take/$ID?gpu=X"}, "python3 -u handler.py"),
    ],
)
def test_the_images_command_starts_a_worker(
    environment: dict[str, str], started: str, image: Image
) -> None:
    """CMD, walked: it is in the tree and executable, and ends in the worker's Python."""
    image.add_tool("tini", 'shift 2; exec "$@"')
    image.add_tool("python3", 'echo "python3 $*"; exit 7')
    (command,) = json.loads(of("CMD")[0])
    script = image.app / Path(command).relative_to("/app")
    done = image.run(script, **environment)
    assert (done.stdout.strip(), done.returncode, done.stderr) == (started, 7, "")


@pytest.mark.parametrize("name", ["start.sh", "sshd.sh", "health.sh", "caches.sh"])
def test_scripts_can_be_executed(name: str, image: Image) -> None:
    """COPY keeps the permissions of the repository."""
    assert os.access(image.app / "builder" / name, os.X_OK)


@pytest.mark.parametrize(
    ("status", "healthy"), [(200, True), (204, True), (503, False), (404, False)]
)
def test_health_is_what_ping_says(status: int, healthy: bool, image: Image) -> None:
    """Starting is healthy, a dead engine is not."""
    with answering(status) as port:
        done = image.run(image.app / "builder/health.sh", PORT=str(port), PATH=os.environ["PATH"])
    assert (done.returncode == 0) is healthy


def test_a_worker_that_listens_nowhere_is_unhealthy_but_for_one_of_a_queue(image: Image) -> None:
    """A queue worker has a port for its metrics at most."""
    script, path = image.app / "builder/health.sh", os.environ["PATH"]
    nowhere = str(free_port())
    assert image.run(script, PATH=path, PORT=nowhere).returncode != 0
    queue = {"PATH": path, "RUNPOD_WEBHOOK_GET_JOB": "https://x"}
    assert image.run(script, **queue, PORT=nowhere).returncode == 0
    assert image.run(script, **queue, METRICS_PORT=nowhere).returncode != 0


@contextmanager
def answering(status: int) -> Generator[int]:
    """An HTTP server whose every answer has this status. Yields its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def kernels_kept(image: Image, what: str, **environment: str) -> str:
    """Runs caches.sh. Returns what it said."""
    done = image.run(image.app / "builder/caches.sh", what, **environment)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_kernels_are_kept_on_a_volume_for_the_same_build_and_architecture(image: Image) -> None:
    """And for no other, since they would not fit."""
    volume, cache = image.base / "volume", image.base / "cache"
    volume.mkdir()
    (cache / "jit").mkdir(parents=True)
    (cache / "jit" / "kernel.so").write_text("compiled")
    image.add_tool("nvidia-smi", "echo 9.0")
    same = {"VOLUME_FOLDER": str(volume), "IMAGE_BUILD": "1.0-abc"}
    assert "Kernels kept in" in kernels_kept(image, "save", **same)
    shutil.rmtree(cache)
    assert kernels_kept(image, "restore", **same | {"IMAGE_BUILD": "1.1-def"}) == ""
    image.add_tool("nvidia-smi", "echo 8.9")
    assert kernels_kept(image, "restore", **same) == ""
    assert not cache.exists()
    image.add_tool("nvidia-smi", "echo 9.0")
    assert "Kernels restored from" in kernels_kept(image, "restore", **same)
    assert (cache / "jit" / "kernel.so").read_text() == "compiled"
    assert [path.suffix for path in volume.rglob("*") if path.is_file()] == [".tar"]


def test_what_the_image_has_is_not_replaced_by_what_was_kept(image: Image) -> None:
    """Kernels that were baked stay."""
    volume, kernel = image.base / "volume", image.base / "cache" / "kernel.so"
    volume.mkdir()
    kernel.parent.mkdir()
    kernel.write_text("kept")
    image.add_tool("nvidia-smi", "echo 9.0")
    kernels_kept(image, "save", VOLUME_FOLDER=str(volume))
    kernel.write_text("baked")
    kernels_kept(image, "restore", VOLUME_FOLDER=str(volume))
    assert kernel.read_text() == "baked"


def test_new_kernels_are_saved_once_they_are_left_alone(image: Image) -> None:
    """While the worker runs, and beside it."""
    volume, cache = image.base / "volume", image.base / "cache"
    volume.mkdir()
    cache.mkdir()
    image.add_tool("nvidia-smi", "echo 9.0")
    path = f"{image.base / 'bin'}:{os.environ['PATH']}"
    variables = {"PATH": path, "SGLANG_CACHE_DIR": str(cache), "HOSTNAME": "container"}
    variables |= {"VOLUME_FOLDER": str(volume), "CACHE_CHECK_SECONDS": "0.1"}
    with subprocess.Popen([image.app / "builder/caches.sh", "keep"], env=variables) as keeping:
        time.sleep(0.5)
        assert list(volume.rglob("*.tar")) == []
        (cache / "kernel.so").write_text("compiled")
        until(lambda: bool(list(volume.rglob("*.tar"))), 20)
        keeping.terminate()


@pytest.mark.parametrize("lacks", ["volume", "GPU"])
def test_without_a_volume_or_a_gpu_nothing_is_kept(lacks: str, image: Image) -> None:
    """Without a word: both are common."""
    volume = image.base / "volume"
    volume.mkdir()
    if lacks == "volume":
        image.add_tool("nvidia-smi", "echo 9.0")
    given = {"VOLUME_FOLDER": str(volume)} if lacks == "GPU" else {}
    for what in ("restore", "save", "keep"):
        assert kernels_kept(image, what, **given) == ""
    assert list(volume.iterdir()) == []


@pytest.mark.slow
def test_kernels_to_bake_are_sglangs() -> None:
    """Each names a factory that takes these arguments; only nvcc may be missing here."""
    script = (
        "import inspect, torch; from importlib import import_module\n"
        "from builder.bake_kernels import kernels\n"
        "for module, factory, arguments in kernels(torch.bfloat16):\n"
        "    found = inspect.unwrap(getattr(import_module(module), factory))\n"
        "    inspect.signature(found).bind(*arguments); print(factory)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert len(done.stdout.split()) == len(bake_kernels.kernels(None)), done.stderr


@pytest.mark.slow
def test_baking_fails_where_nothing_could_be_compiled(image: Image) -> None:
    """Here, without nvcc. The architecture is named."""
    without = {"PYTHONPATH": "", "CUDA_HOME": str(image.base)}
    done = image.run(sys.executable, "builder/bake_kernels.py", "9.0", **without)
    assert done.returncode == 1
    assert "9.0: 0 kernels built" in done.stdout


def test_a_baked_model_has_what_serving_needs_alone() -> None:
    """Not gpt-oss's other copies of the weights."""
    files = [
        "config.json", "chat_template.jinja", "model-00001-of-00002.safetensors", "tokenizer.json",
        "original/model.safetensors", "original/config.json", "metal/model.bin", "README.md",
    ]  # fmt: skip
    kept = filter_repo_objects(
        files, allow_patterns=list(bake_model.NEEDED), ignore_patterns=list(bake_model.NOT_NEEDED)
    )
    assert list(kept) == files[:4]
    assert (bake_model.NEEDED, bake_model.NOT_NEEDED) == (
        model_files.NEEDED,
        model_files.NOT_NEEDED,
    )


def test_without_a_model_none_is_baked(image: Image) -> None:
    """The default; an empty MODEL counts as unset in the worker."""
    assert "MODEL=" in of("ARG")
    assert image.run(sys.executable, "builder/bake_model.py", "").returncode == 0


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


@cache
def needs(name: str, extra: str) -> list[Requirement]:
    try:
        declared = map(Requirement, metadata.requires(name) or [])
    except metadata.PackageNotFoundError:  # of the CUDA world, and not in the CPU environment
        return []
    here = IN_THE_BASE | {"extra": extra}
    return [each for each in declared if each.marker is None or each.marker.evaluate(here)]


def test_every_package_that_the_worker_loads_is_in_the_image(image: Image) -> None:
    """SGLang brings it, or it is pinned. Nothing is pinned that the worker does not load."""
    script = (
        "import runpy, sys; runpy.run_path('builder/check_image.py', run_name='__main__');"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = image.run(sys.executable, "-c", script)
    owners = metadata.packages_distributions()
    modules = done.stdout.splitlines()[-1].split()
    loaded = {canonicalize_name(name) for module in modules for name in owners.get(module, [])}
    assert loaded - brought_by("sglang") - set(PINS) == set()
    assert set(PINS) - loaded == set()


@cache
def versions_in_the_base() -> dict[str, str]:
    """By name: pinned here or by SGLang itself, or else what the CPU environment has."""
    brought = {name: _installed_version(name) for name in brought_by("sglang") if "[" not in name}
    return {name: version for name, version in brought.items() if version} | PINS


def _installed_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


@pytest.mark.parametrize("name", PINS)
def test_a_pin_fits_python_3_12_and_all_that_needs_it(name: str) -> None:
    """What pip would resolve, without its dependency resolver, which --no-deps leaves out."""
    about = metadata.metadata(name)
    assert "3.12.3" in SpecifierSet(about["Requires-Python"] or "")
    there = versions_in_the_base()
    for needed in needs(name, ""):  # the SDK's uploads need boto3, which is never loaded
        found = there.get(canonicalize_name(needed.name))
        assert found is None or found in needed.specifier, needed
    for other in ("sglang", *there):
        for needed in needs(other, ""):
            if canonicalize_name(needed.name) == name:
                assert PINS[name] in needed.specifier, f"{other} needs {needed}"


def test_the_pins_are_the_versions_that_are_tested() -> None:
    """The CPU environment's; and pip installs them alone, so that SGLang's stay as they are."""
    locked = (ROOT / "builder" / "cpu" / "requirements.txt").read_text().splitlines()
    assert {f"{name}=={version}" for name, version in PINS.items()} <= set(locked)
    (install,) = [words for words in of("RUN") if "pip install" in words]
    assert "--no-deps -r builder/requirements.txt" in install


def test_no_secret_is_in_a_layer() -> None:
    """No variable that could hold one, nothing fetched, no host key of sshd. A token is a mount."""
    named = " ".join(of("ENV") + of("ARG"))
    assert not re.search("token|secret|password|api_key|credential", named, re.IGNORECASE)
    assert not of("ADD")
    assert "http" not in " ".join(of("RUN"))
    (baking,) = [words for words in of("RUN") if "bake_model" in words]
    assert "--mount=type=secret,id=hf_token" in baking
    (packages,) = [words for words in of("RUN") if "openssh-server" in words]
    assert "rm -rf /etc/ssh/ssh_host_*" in packages.partition("apt-get install")[2]


def test_the_start_command_is_the_start_script() -> None:
    """Without the base image's entrypoint, by a path that no volume of RunPod's hides."""
    assert of("ENTRYPOINT") == ["[]"]
    assert of("CMD") == ['["/app/builder/start.sh"]']
    assert of("WORKDIR") == ["/app"]
    assert os.access(ROOT / "builder" / "start.sh", os.X_OK)
    assert of("EXPOSE") == ["8000 22"]
    (health,) = of("HEALTHCHECK")
    assert health.endswith('CMD ["/app/builder/health.sh"]')


def test_the_image_says_what_it_is() -> None:
    """OCI's labels; a release fills in version and revision (.github/workflows/release.yml)."""
    (labels,) = of("LABEL")
    for name in ("title", "description", "licenses", "version", "revision"):
        assert f'org.opencontainers.image.{name}="' in labels
    assert {"VERSION=unknown", "REVISION=unknown"} <= set(of("ARG"))

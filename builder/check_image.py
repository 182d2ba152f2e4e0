"""Runs during the image build, and fails it if the base image is not what the worker expects.

Rule: needs no GPU and no network and does not start SGLang, because the build machine may have
neither.
"""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from importlib.util import cache_from_source, find_spec
from pathlib import Path
from pkgutil import walk_packages

ROOT = Path(__file__).parent.parent
SGLANG = "0.5.23"
OLDEST_KERNEL = (0, 4, 9)
"""Of sglang-kernel: SGLang refuses to start with an older one (entrypoints/engine.py)."""
TOOLS = ("nvcc", "ninja", "c++", "tini", "sshd", "curl")
"""The first three compile SGLang's kernels at their first use."""
NOT_IMPORTABLE = {
    "worker.engine.bounded_strings",
    "worker.engine.direct_manager",
    "worker.engine.grammar_masks",
    "worker.tracing",
}
"""Modules that import SGLang or its grammar library at the top, and may fail without a GPU; and
traces, for which OpenTelemetry's SDK has to be installed."""


def main() -> None:
    if missing := list(shortcomings()):
        sys.exit("\n".join(missing))
    sys.path.insert(0, str(ROOT))
    import worker

    for module in walk_packages(worker.__path__, "worker."):
        if module.name not in NOT_IMPORTABLE:
            import_module(module.name)
    import_module("handler")
    from worker.harmony import vocabulary

    vocabulary.encoding()
    vocabulary.token_bytes()  # raises if the file is damaged
    print(f"Image check passed: Python {sys.version.split()[0]}, SGLang {SGLANG}")


def shortcomings() -> Iterator[str]:
    """What the base image lacks, a line for each. SGLang itself is not imported."""
    for name, version in (("sglang", SGLANG), *pins()):
        if (found := _version(name)) != version:
            yield f"{name} must be version {version}, got {found}."
    kernel = _version("sglang-kernel")
    if tuple(map(int, re.findall(r"\d+", kernel)[:3])) < OLDEST_KERNEL:
        yield f"sglang-kernel must be at least {'.'.join(map(str, OLDEST_KERNEL))}, got {kernel}."
    if find_spec("triton_kernels") is None:
        yield "triton_kernels is missing: gpt-oss's experts run on it."
    for tool in TOOLS:
        if shutil.which(tool) is None:
            yield f"{tool} is missing."
    if not Path(cache_from_source(str(_sglang() / "srt/entrypoints/engine.py"))).exists():
        yield "SGLang has no bytecode: each start would compile it again."
    for variable in ("SGLANG_CACHE_DIR", "SGLANG_JIT_CACHE_DIR"):
        folder = os.environ.get(variable)
        if not folder or not _is_writable(Path(folder)):
            yield f"{variable} must be a folder that can be written to, got {folder!r}."


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def _sglang() -> Path:
    spec = find_spec("sglang")
    return Path(spec.origin).parent if spec and spec.origin else Path("sglang")


def _is_writable(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    return os.access(folder, os.W_OK)


def pins() -> Iterator[tuple[str, str]]:
    """The packages in builder/requirements.txt, with their versions."""
    for line in (ROOT / "builder" / "requirements.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, _, version = line.partition("==")
            yield name, version


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()

"""Runs during the image build, and fails it if the base image is not what the worker expects.

Rule: needs no GPU and no network and does not start SGLang, because the build machine may have
neither.
"""

import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from pkgutil import walk_packages

ROOT = Path(__file__).parent.parent
SGLANG = "0.5.23"
NOT_IMPORTABLE = {"worker.engine.bounded_strings", "worker.engine.grammar_masks"}
"""Modules that import SGLang or its grammar library at the top: they may fail without a GPU."""


def main() -> None:
    for name, version in (("sglang", SGLANG), *pins()):
        if metadata.version(name) != version:
            sys.exit(f"{name} must be version {version}, got {metadata.version(name)}.")
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


def pins() -> Iterator[tuple[str, str]]:
    """The packages in builder/requirements.txt, with their versions."""
    for line in (ROOT / "builder" / "requirements.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, _, version = line.partition("==")
            yield name, version


if __name__ == "__main__":
    main()

"""Run while the image is built: fails the build if the base image is not what we think it is.

Rule: needs no GPU and no network, and starts no SGLang: a builder has none of these.
"""

import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from pkgutil import walk_packages

ROOT = Path(__file__).parent.parent
SGLANG = "0.5.23"
IN_SGLANGS_PROCESS = {"worker.engine.bounded_strings", "worker.engine.grammar_cost"}
"""What imports SGLang or its grammar library where it stands: not to be tried without a GPU."""


def main() -> None:
    for name, version in (("sglang", SGLANG), *pins()):
        if metadata.version(name) != version:
            sys.exit(f"{name} is {metadata.version(name)}, not {version}")
    sys.path.insert(0, str(ROOT))
    import worker

    for module in walk_packages(worker.__path__, "worker."):
        if module.name not in IN_SGLANGS_PROCESS:
            import_module(module.name)
    import_module("handler")
    from worker.harmony import vocabulary

    vocabulary.encoding()
    vocabulary.token_bytes()  # raises where the file is damaged
    print(f"Python {sys.version.split()[0]} and SGLang {SGLANG} have all that the worker loads")


def pins() -> Iterator[tuple[str, str]]:
    """The packages of builder/requirements.txt and their versions."""
    for line in (ROOT / "builder" / "requirements.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, _, version = line.partition("==")
            yield name, version


if __name__ == "__main__":
    main()

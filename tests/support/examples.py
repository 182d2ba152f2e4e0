"""The fenced blocks of README and docs/, as examples that a test can run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@dataclass(frozen=True)
class Example:
    """One block. `language` is the word after its fence, "" for a drawing."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def examples() -> Iterator[Example]:
    for page in PAGES:
        text = page.read_text()
        for block in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            yield Example(page, text.count("\n", 0, block.start()) + 1, block[1], block[2])


@dataclass(frozen=True)
class Command:
    """A command of a console block, and the output that the block shows; "" if none."""

    text: str
    output: str


def commands(block: str) -> list[Command]:
    """A command begins with "$ ". Its further lines are indented, as in a shell's history."""
    found: list[Command] = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        further = next((at for at, line in enumerate(lines) if at and line[0] != " "), len(lines))
        found.append(Command("".join(lines[:further]).strip(), "".join(lines[further:]).strip()))
    return found

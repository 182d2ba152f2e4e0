"""Writes the table of GPUs in docs/models.md: `python -m builder.gpu_table`."""

import re
from pathlib import Path

from worker.doctor import table
from worker.settings import Settings

PAGE = Path(__file__).parent.parent / "docs" / "models.md"


def page_with(settings: Settings) -> str:
    """The page with the table for these settings."""
    lines = "".join(f"{line}\n" for line in table(settings))
    return re.sub(r"(?:^\| .*\n)+", lambda _: lines, PAGE.read_text(), count=1, flags=re.MULTILINE)


if __name__ == "__main__":
    PAGE.write_text(page_with(Settings()))
    print(f"Wrote {PAGE}.")

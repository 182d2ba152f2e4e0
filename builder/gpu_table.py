"""Writes the table of GPUs in README: `python -m builder.gpu_table`."""

from pathlib import Path

from worker.command import CommandParser
from worker.doctor import table
from worker.settings import Settings

README = Path(__file__).parent.parent / "README.md"
_BEGINS, _ENDS = "<!-- gpus -->\n", "<!-- /gpus -->\n"


def readme_with(settings: Settings) -> str:
    """README with the table for these settings."""
    before, _, rest = README.read_text().partition(_BEGINS)
    _, _, after = rest.partition(_ENDS)
    lines = "".join(f"{line}\n" for line in table(settings))
    return f"{before}{_BEGINS}{lines}{_ENDS}{after}"


if __name__ == "__main__":
    CommandParser("python -m builder.gpu_table", __doc__).parse_args()
    README.write_text(readme_with(Settings()))
    print(f"Wrote {README}.")

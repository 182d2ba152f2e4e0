"""Writes docs/openapi.json, and the field table in README."""

from builder.openapi.document import PLACE, README, readme, text
from worker.command import CommandParser

if __name__ == "__main__":
    CommandParser("python -m builder.openapi", __doc__).parse_args()
    PLACE.write_text(text())
    README.write_text(readme())
    print(f"Wrote {PLACE} and {README}.")

"""Writes docs/openapi.json, and the field table in README."""

from builder.openapi.document import PLACE, README, readme, text

if __name__ == "__main__":
    PLACE.write_text(text())
    README.write_text(readme())
    print(f"Wrote {PLACE} and {README}.")

"""Writes docs/openapi.json, and README's table of fields."""

from builder.openapi.document import PLACE, README, readme, text

if __name__ == "__main__":
    PLACE.write_text(text())
    README.write_text(readme())
    print(f"{PLACE} and {README} are written")

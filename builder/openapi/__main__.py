"""Writes docs/openapi.json."""

from builder.openapi.document import PLACE, text

if __name__ == "__main__":
    PLACE.write_text(text())
    print(f"{PLACE} is written")

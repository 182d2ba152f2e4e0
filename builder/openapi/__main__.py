"""Writes docs/openapi.json and docs/fields.md."""

from builder.openapi.document import FIELDS_PAGE, PLACE, fields_page, text

if __name__ == "__main__":
    PLACE.write_text(text())
    FIELDS_PAGE.write_text(fields_page())
    print(f"Wrote {PLACE} and {FIELDS_PAGE}.")

"""Writes worker/entrypoints/http/openapi.json and docs/fields.md."""

from builder.openapi.document import PLACE, text
from builder.openapi.fields_page import FIELDS_PAGE, fields_page
from worker.command import CommandParser

if __name__ == "__main__":
    CommandParser("python -m builder.openapi", __doc__).parse_args()
    PLACE.write_text(text())
    FIELDS_PAGE.write_text(fields_page())
    print(f"Wrote {PLACE} and {FIELDS_PAGE}.")

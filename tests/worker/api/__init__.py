"""JSON of an API in and out."""

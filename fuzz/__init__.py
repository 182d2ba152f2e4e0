"""Fuzz targets that run outside CI: a coverage-guided fuzzer has no end of its own."""

"""Fuzz targets that run outside CI: a coverage-guided fuzzer never terminates by itself."""

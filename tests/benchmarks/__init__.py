"""Specification of what the benchmarks share."""

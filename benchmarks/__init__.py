"""Reproducible measurements: alternatives are compared in one run and reported as ratios."""

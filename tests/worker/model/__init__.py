"""Tests of what is served, and of whether it fits."""

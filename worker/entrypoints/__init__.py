"""Entrypoints: RunPod's queue, the HTTP API, and local test runs.

Rule: each handles exceptions in one place, and never aborts a generation explicitly: closing the
generator does that.
"""

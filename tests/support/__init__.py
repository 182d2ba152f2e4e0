"""Test helpers: scripted engines, servers, strategies and catalogues of model output."""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

DEMO = {"MODEL": "demo"}
"""The environment of a worker in a process of its own."""

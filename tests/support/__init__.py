"""Test helpers: scripted engines, servers, strategies and catalogues of model output."""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

DEMO = {"MODEL": "demo", "ENGINE_ARGS": '{"sleep_on_idle": true}'}
"""The environment of a worker in a process of its own.

SGLang's scheduler looks for requests without a pause: an engine that waits would take a whole core.
"""

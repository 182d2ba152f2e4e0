"""Test helpers: scripted engines, servers, strategies and catalogues of model output."""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

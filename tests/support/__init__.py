"""What tests share: engines that say what they are told, servers, strategies, catalogues."""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

"""Server-sent events, as OpenAI's API writes them.

Rule: a string is one or more whole events; joined strings are a valid stream.
"""

from collections.abc import Mapping
from typing import Any

import orjson

DONE = "data: [DONE]\n\n"


def event(data: Mapping[str, Any]) -> str:
    """One event that carries `data` as JSON."""
    return f"data: {orjson.dumps(data).decode()}\n\n"

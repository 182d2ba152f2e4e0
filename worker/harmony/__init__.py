"""Harmony, the format that gpt-oss reads and writes: prompts in, completions out.

`conversation` is the input and `events` the output; both are independent of any API.
Rule: pure. No I/O except reading the vocabulary file, no asyncio, nothing of any HTTP API.
"""

from worker.harmony.events import (
    Event,
    Finished,
    Kind,
    MessageBegun,
    MessageEnded,
    Reasoning,
    Text,
    ToolCallArguments,
    ToolCallBegun,
)
from worker.harmony.grammar import structural_tag
from worker.harmony.parsing import Parser, new_call_id
from worker.harmony.rendering import TurnMemory, render, segments

__all__ = [
    "Event",
    "Finished",
    "Kind",
    "MessageBegun",
    "MessageEnded",
    "Parser",
    "Reasoning",
    "Text",
    "ToolCallArguments",
    "ToolCallBegun",
    "TurnMemory",
    "new_call_id",
    "render",
    "segments",
    "structural_tag",
]

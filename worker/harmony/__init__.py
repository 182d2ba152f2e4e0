"""Harmony, the format that gpt-oss reads and writes: prompts in, completions out.

Rule: pure. No I/O but the vocabulary's file, no asyncio, nothing of OpenAI's HTTP API but the
message that clients know.
"""

from worker.harmony.events import (
    Event,
    Finished,
    Reasoning,
    Text,
    ToolCallArguments,
    ToolCallBegun,
)
from worker.harmony.grammar import structural_tag
from worker.harmony.memory import TurnMemory
from worker.harmony.message import Delta, MessageFold, delta_of, message_from_tokens
from worker.harmony.parser import Parser
from worker.harmony.prompt import render_prompt

__all__ = [
    "Delta",
    "Event",
    "Finished",
    "MessageFold",
    "Parser",
    "Reasoning",
    "Text",
    "ToolCallArguments",
    "ToolCallBegun",
    "TurnMemory",
    "delta_of",
    "message_from_tokens",
    "render_prompt",
    "structural_tag",
]

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
from worker.harmony.grammar import CompletionGrammar, grammar_of
from worker.harmony.parsing import Parser, new_call_id
from worker.harmony.rendering import TurnMemory, render, segments

__all__ = [
    "CompletionGrammar",
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
    "grammar_of",
    "new_call_id",
    "render",
    "segments",
]

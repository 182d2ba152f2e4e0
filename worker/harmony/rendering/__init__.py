"""Prompts: a conversation as the token ids that gpt-oss was trained on.

`prompt` renders the whole, `instructions` its head (system and developer message), `typescript` the
parameters of a function (`json_schema` and `schema_shape` read its schema), and `memory` keeps the
exact ids of generated turns.
"""

from worker.harmony.rendering.memory import TurnMemory
from worker.harmony.rendering.prompt import render, segments

__all__ = ["TurnMemory", "render", "segments"]

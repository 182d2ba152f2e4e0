"""Prompts: a conversation as the token ids that gpt-oss was trained on.

`prompt` renders the whole, `instructions` what stands before the conversation, `tools` and
`typescript` the functions on offer (of which `json_schema` and `schema_shape` read the schemas),
and `memory` knows the turns that were generated, id by id.
"""

from worker.harmony.rendering.memory import TurnMemory
from worker.harmony.rendering.prompt import render

__all__ = ["TurnMemory", "render"]

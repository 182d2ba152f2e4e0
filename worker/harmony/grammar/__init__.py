"""Grammars: the constraints on a turn, as an xgrammar structural tag.

`structural_tag` builds it. `schema_support` decides which JSON schemas a grammar can enforce,
with the help of `schema_keywords`, `schema_bounds`, `schema_pattern` and `text_length`.
"""

from worker.harmony.grammar.structural_tag import (
    CompletionGrammar,
    Format,
    grammar_of,
    is_headers_only,
)
from worker.harmony.grammar.text_length import LENGTH_PREFIX, length_bounds

__all__ = [
    "LENGTH_PREFIX",
    "CompletionGrammar",
    "Format",
    "grammar_of",
    "is_headers_only",
    "length_bounds",
]

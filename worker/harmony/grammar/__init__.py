"""Grammars: what is wanted of a turn, as an xgrammar structural tag.

`structural_tag` puts it together; `schema_support` says which JSON schemas a grammar can hold, with
`schema_words`, `schema_bounds` and `schema_pattern`.
"""

from worker.harmony.grammar.structural_tag import holds_headers_alone, structural_tag

__all__ = ["holds_headers_alone", "structural_tag"]

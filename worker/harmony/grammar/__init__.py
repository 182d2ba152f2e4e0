"""Grammars: what is wanted of a turn, as an xgrammar structural tag.

`structural_tag` puts it together; `schema_support` says which JSON schemas a grammar can hold, with
`schema_words`, `schema_bounds`, `schema_pattern` and `text_length`.
"""

from worker.harmony.grammar.structural_tag import holds_headers_alone, structural_tag
from worker.harmony.grammar.text_length import MARK, length_of

__all__ = ["MARK", "holds_headers_alone", "length_of", "structural_tag"]

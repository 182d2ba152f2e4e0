"""Completions: token ids to events, however malformed.

`parser` follows the markers between messages, `header` parses what precedes a message (with
`header_words` and `address`), `body` its content, and `call_arguments` a call's JSON.
"""

from worker.harmony.parsing.parser import Parser, new_call_id

__all__ = ["Parser", "new_call_id"]

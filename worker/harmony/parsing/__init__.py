"""Completions: token ids as events, however malformed.

`parser` follows the markers between messages, `header` reads what stands before a message (with
`words`, `address`), `body` what is in it, `call_arguments` a call's JSON.
"""

from worker.harmony.parsing.parser import Parser

__all__ = ["Parser"]

"""The text of a custom tool's call, taken out of the JSON that the model writes, as it streams.

gpt-oss calls a custom tool as a function with one string: `{"input": "*** Begin Patch\\n…"}`. The
client gets what is in the string, without its escapes. Where the model writes the text itself, or
another object, that is the input as it stands.

Rule: text that was sent cannot be taken back. So a piece is held back only while it can be the
beginning of `{"input": "`, of an escape, or of the end: a quote ends the string if `}` or nothing
follows, and is part of the text otherwise (models forget to escape it).
"""

import json
import re

_HEAD = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_BARE_HEAD = '{"input":"'
_EMPTY = "{}"
_ESCAPE = re.compile(r'\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt])')
_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_UNFINISHED = re.compile(
    r"\\(?:u[0-9a-fA-F]{0,3})?"  # an escape
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?"  # a pair
    r'|"\s*(?:\}\s*)?'  # the end
)
_NEXT = re.compile(r'[\\"]')


class FreeText:
    """`feed` takes a piece of the arguments and returns the text to send; `close` the rest.

    Example: `feed('{"inp')` returns `''`, `feed('ut": "a\\\\')` returns `'a'`, `feed('nb"}')`
    returns `'\\nb'`.
    """

    def __init__(self) -> None:
        self._pending = ""
        self._in_string: bool | None = None  # None until the head is complete

    def feed(self, piece: str) -> str:
        text, self._pending = self._pending + piece, ""
        if self._in_string is None and (text := self._after_head(text)) == "":
            return ""
        return self._unescaped(text) if self._in_string else text

    def _after_head(self, text: str) -> str:
        """What follows the head; nothing while it is not known whether there is one."""
        if head := _HEAD.match(text):
            self._in_string = True
            return text[head.end() :]
        seen = "".join(text.split())
        if _BARE_HEAD.startswith(seen) or seen == _EMPTY:
            self._pending = text
            return ""
        self._in_string = False
        return text

    def _unescaped(self, text: str) -> str:
        done: list[str] = []
        at = 0
        while found := _NEXT.search(text, at):
            done.append(text[at : found.start()])
            at = found.start()
            if _UNFINISHED.fullmatch(text, at):
                self._pending = text[at:]
                return "".join(done)
            escape = _PAIR.match(text, at) or _ESCAPE.match(text, at)
            written = escape.group() if escape else text[at]
            done.append(_decoded(written) if escape else written)
            at += len(written)
        done.append(text[at:])
        return "".join(done)

    def close(self) -> str:
        """What is still held back: no end that was one, and no half of an escape."""
        text, self._pending = self._pending, ""
        if self._in_string or "".join(text.split()) == _EMPTY:
            return ""
        return text


def _decoded(escape: str) -> str:
    """What an escape stands for. Half of a surrogate pair, which no text can hold, is U+FFFD."""
    character: str = json.loads(f'"{escape}"')
    return "\ufffd" if "\ud800" <= character <= "\udfff" else character

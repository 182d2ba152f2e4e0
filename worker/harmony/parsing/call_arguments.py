"""The arguments of one call, streamed to the client as the model wrote them.

Rule: text that was sent cannot be taken back. So text is buffered from the first comma that may be
a trailing one, and at a natural end invalid JSON is repaired where only one repair is possible:
trailing commas are removed, missing closing brackets are added. Anything else stays as written.
"""

import json
import re

from worker.harmony.text_buffer import TextBuffer

_SYNTAX = re.compile(r'\\.?|["{}\[\]]|,\s*+[}\]]?', re.DOTALL)
_STRING_SYNTAX = re.compile(r'["\\]')
_STRING_OR_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*+")|,(?=\s*+[}\]])', re.DOTALL)
_OBJECT = re.compile(r'\s*\{\s*(?:\}|"(?:[^"\\]|\\.)*+"\s*:)', re.DOTALL)
_MAY_BE_OBJECT = re.compile(r'\s*(?:\{\s*(?:"(?:[^"\\]|\\.)*+(?:\\|"\s*)?)?)?', re.DOTALL)
_MAX_KEY = 80
"""Characters that suffice to tell an object, `{"code":`, from code such as a set, `{"a", "b"}`."""
_CLOSER = {"{": "}", "[": "]"}


class Arguments:
    """`feed` takes text and returns text to send; `close` returns the rest.

    Example: `feed('{"a": [1')` returns `'{"a": [1'`, `feed(', ')` returns `''` (the comma may be a
    trailing one), `feed('2,]')` returns `', 2'`, and `close(natural=True)` returns `']}'`: what was
    sent is `{"a": [1, 2]}`.

    `code`: the tool takes code, not JSON, so nothing is repaired. `code_property`: the tool takes
    an object; text that is not an object is code, and becomes the value of that property:
    `print(1)` is sent as `{"code": "print(1)"}`, piece by piece.
    """

    def __init__(self, *, code: bool = False, code_property: str | None = None) -> None:
        self._property = code_property
        self._wraps = False
        self.in_string = False
        self.repaired = False
        self._json: bool | None = False if code else None  # None until the first character
        self._sent = TextBuffer()
        self._pending: list[str] = []
        self._buffers_rest = False  # after a trailing comma: buffer everything until the end
        self._escaped = False  # the last piece ended in a string's backslash
        self._missing: list[str] = []  # the closing brackets still expected

    @property
    def unfinished(self) -> bool:
        """Whether a string, an object or an array is still open."""
        return self.in_string or bool(self._missing)

    @property
    def sent(self) -> str:
        """All text that `feed` and `close` have returned."""
        return self._sent.text

    def feed(self, text: str) -> str:
        """Takes a piece of the arguments; returns the text that can be sent now."""
        sendable = self._feed(text)
        self._sent.add(sendable)
        return sendable

    def _feed(self, text: str) -> str:
        if self._wraps:
            return json.dumps(text, ensure_ascii=False)[1:-1]
        if self._json is None:
            return self._begin(text)
        return self._pass_on(text)

    def _begin(self, text: str) -> str:
        """Takes the first pieces, which decide whether this is JSON at all."""
        if self._property is None:
            start = text.lstrip()
            self._json = start[0] in _CLOSER if start else None
            return self._pass_on(text)
        text, self._pending = "".join((*self._pending, text)), []
        if _MAY_BE_OBJECT.fullmatch(text):
            if len(text) <= _MAX_KEY:
                self._pending = [text]
                return ""
        elif not _OBJECT.match(text):
            self._wraps, self._json = True, False
            opened = json.dumps({self._property: ""}, ensure_ascii=False)[:-2]
            return opened + json.dumps(text, ensure_ascii=False)[1:-1]
        self._json = True
        return self._pass_on(text)

    def _pass_on(self, text: str) -> str:
        if not self._json or (
            self.in_string and not self._pending and not _STRING_SYNTAX.search(text)
        ):
            self._escaped = False
            return text
        if self._buffers_rest or (self._pending and text.isspace()):
            self._pending.append(text)
            self._scan(text)
            return ""
        if self._pending:
            text = "".join((*self._pending, text))
        safe = self._scan(text)
        self._pending = [text[safe:]] if safe < len(text) else []
        return text[:safe]

    def _scan(self, text: str) -> int:
        """Tracks strings and brackets; returns the position of a comma that may be a trailing one,
        or else the length of `text`."""
        safe, start = len(text), int(self._escaped)
        self._escaped = False
        for found in _SYNTAX.finditer(text, start):
            symbol = found.group()
            if symbol[0] == "\\":
                self._escaped = len(symbol) == 1
            elif symbol == '"':
                self.in_string = not self.in_string
            elif not self.in_string:
                self._bracket(symbol[-1])
                followed = symbol[-1] in _CLOSER.values()
                if symbol[0] == "," and not self._buffers_rest:
                    self._buffers_rest = followed
                    if followed or found.end() == len(text):
                        safe = found.start()
        return safe

    def _bracket(self, character: str) -> None:
        if character in _CLOSER:
            self._missing.append(_CLOSER[character])
        elif self._missing[-1:] == [character]:
            self._missing.pop()

    def close(self, *, natural: bool) -> str:
        """The text still to be sent. `natural`: the model ended the call; it was not cut off."""
        begun = ""
        if self._json is None and any(map(str.strip, self._pending)):
            text, self._pending, self._json = "".join(self._pending), [], True
            begun = self._pass_on(text)
            self._sent.add(begun)
        rest = self._rest(natural=natural)
        self._sent.add(rest)
        return begun + rest

    def _rest(self, *, natural: bool) -> str:
        if self._wraps:
            return '"}' if natural else ""
        sent, pending = self._sent.text, "".join(self._pending)
        if natural and self._json is None:
            return "{}"
        if natural and self._json and not self.in_string:
            whole = sent + pending
            for repaired in (whole, _without_commas(whole) + "".join(reversed(self._missing))):
                if _is_json(repaired):
                    self.repaired = repaired != whole
                    return repaired[len(sent) :]
        return pending


def _without_commas(text: str) -> str:
    """`text` without trailing commas."""
    return _STRING_OR_TRAILING_COMMA.sub(lambda found: found.group(1) or "", text)


def _is_json(text: str) -> bool:
    """Whether `text` is valid JSON; NaN and Infinity, which Python's parser accepts, are not."""

    def reject(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(text, parse_constant=reject)
    except (ValueError, RecursionError):
        return False
    return True

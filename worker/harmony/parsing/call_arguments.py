"""The arguments of one call on their way to the client: passed on as the model wrote them.

Rule: what is sent is never taken back. So text is held from the first comma that may be too much,
and at a natural end arguments that are not JSON are mended where only one mend is possible:
trailing commas go, missing closing brackets come. Anything else stays as it was written.
"""

import json
import re

_MARK = re.compile(r'\\.?|["{}\[\]]|,\s*+[}\]]?', re.DOTALL)
_STRING_MARK = re.compile(r'["\\]')
_WHOLE = re.compile(r'("(?:[^"\\]|\\.)*+")|,(?=\s*+[}\]])', re.DOTALL)
_OBJECT = re.compile(r'\s*\{\s*(?:\}|"(?:[^"\\]|\\.)*+"\s*:)', re.DOTALL)
_MAY_BE_OBJECT = re.compile(r'\s*(?:\{\s*(?:"(?:[^"\\]|\\.)*+(?:\\|"\s*)?)?)?', re.DOTALL)
_KEY = 80
"""Characters in which it is clear whether an object begins: `{"code":`, or a set, `{"a", "b"}`."""
_CLOSER = {"{": "}", "[": "]"}


class Arguments:
    """`feed` text in, text to send out; `close` gives what remains to be sent.

    `code`: the tool takes code, not JSON, so nothing is mended. `code_property`: the tool takes an
    object, and what is not one is code, which goes under that property: `print(1)` becomes
    `{"code": "print(1)"}`, piece by piece.
    """

    def __init__(self, *, code: bool = False, code_property: str | None = None) -> None:
        self._property = code_property
        self._wraps = False
        self.in_string = False
        self.mended = False
        self._json: bool | None = False if code else None  # None until the first character
        self._sent: list[str] = []
        self._held: list[str] = []
        self._doubtful = False  # a comma stood before a bracket: all is held until the end
        self._escaped = False  # the last piece ended in a string's backslash
        self._missing: list[str] = []  # the closing brackets that are still to come

    @property
    def unfinished(self) -> bool:
        """Whether an object or an array is still open."""
        return self.in_string or bool(self._missing)

    def feed(self, text: str) -> str:
        """Takes a piece of the arguments; returns the piece that can be sent now."""
        if self._wraps:
            return json.dumps(text, ensure_ascii=False)[1:-1]
        if self._json is None:
            return self._begin(text)
        return self._pass(text)

    def _begin(self, text: str) -> str:
        """The first pieces, which say whether this is JSON at all."""
        if self._property is None:
            start = text.lstrip()
            self._json = start[0] in _CLOSER if start else None
            return self._pass(text)
        text, self._held = "".join((*self._held, text)), []
        if _MAY_BE_OBJECT.fullmatch(text):
            if len(text) <= _KEY:
                self._held = [text]
                return ""
        elif not _OBJECT.match(text):
            self._wraps, self._json = True, False
            opened = json.dumps({self._property: ""}, ensure_ascii=False)[:-2]
            return opened + json.dumps(text, ensure_ascii=False)[1:-1]
        self._json = True
        return self._pass(text)

    def _pass(self, text: str) -> str:
        if not self._json or (self.in_string and not self._held and not _STRING_MARK.search(text)):
            self._escaped = False
            self._sent.append(text)
            return text
        if self._doubtful or (self._held and text.isspace()):
            self._held.append(text)
            self._scan(text)
            return ""
        if self._held:
            text = "".join((*self._held, text))
        safe = self._scan(text)
        self._held = [text[safe:]] if safe < len(text) else []
        self._sent.append(text[:safe])
        return text[:safe]

    def _scan(self, text: str) -> int:
        """Follows strings and brackets; returns where a comma stands that may be too much."""
        safe, start = len(text), int(self._escaped)
        self._escaped = False
        for found in _MARK.finditer(text, start):
            mark = found.group()
            if mark[0] == "\\":
                self._escaped = len(mark) == 1
            elif mark == '"':
                self.in_string = not self.in_string
            elif not self.in_string:
                self._bracket(mark[-1])
                followed = mark[-1] in _CLOSER.values()
                if mark[0] == "," and not self._doubtful:
                    self._doubtful = followed
                    if followed or found.end() == len(text):
                        safe = found.start()
        return safe

    def _bracket(self, character: str) -> None:
        if character in _CLOSER:
            self._missing.append(_CLOSER[character])
        elif self._missing[-1:] == [character]:
            self._missing.pop()

    def close(self, *, natural: bool) -> str:
        """What is still to be sent. `natural`: the model ended the call, it was not cut off."""
        if self._wraps:
            return '"}' if natural else ""
        if self._json is None and any(map(str.strip, self._held)):
            text, self._held, self._json = "".join(self._held), [], True
            return self._pass(text) + self.close(natural=natural)
        sent, held = "".join(self._sent), "".join(self._held)
        if natural and self._json is None:
            return "{}"
        if natural and self._json and not self.in_string:
            whole = sent + held
            for mended in (whole, _without_commas(whole) + "".join(reversed(self._missing))):
                if _is_json(mended):
                    self.mended = mended != whole
                    return mended[len(sent) :]
        return held


def _without_commas(text: str) -> str:
    """`text` without the commas before a closing bracket."""
    return _WHOLE.sub(lambda found: found.group(1) or "", text)


def _is_json(text: str) -> bool:
    """Whether `text` is JSON; NaN and Infinity, which Python's parser admits, are not."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return True

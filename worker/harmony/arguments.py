"""The arguments of one call on their way to the client: passed on as the model wrote them.

Rule: what is sent is never taken back, so the only thing held is a comma that may prove to be
trailing. At a natural end, arguments that are not JSON are mended where only one mend is
possible: a trailing comma goes, missing closing brackets come; anything else stays raw.
"""

import json
import re

_STRING_END = re.compile(r'["\\]')
_OUTSIDE = re.compile(r'\s+|["{}\[\],]|[^\s"{}\[\],]+')
_PLAIN = re.compile(r"[-+.\w:]*")
_CLOSER = {"{": "}", "[": "]"}


class Arguments:
    """`feed` text in, text to send out; `close` gives what remains to be sent."""

    def __init__(self) -> None:
        self._sent: list[str] = []
        self._comma = ""  # a comma and the space after it, held until the next character
        self._open: list[str] = []  # the closing brackets that are still to come
        self._in_string = False
        self._escaped = False
        self._raw = False  # not JSON so far, so nothing is mended

    def feed(self, text: str) -> str:
        """Takes a piece of the arguments; returns the piece that can be sent now."""
        out: list[str] = []
        at = 0
        while at < len(text):
            if self._raw:
                out.append(text[at:])
                break
            at = self._string(text, at, out) if self._in_string else self._outside(text, at, out)
        sent = "".join(out)
        self._sent.append(sent)
        return sent

    def _string(self, text: str, at: int, out: list[str]) -> int:
        """Takes a piece of a string; returns where it ends."""
        if self._escaped:
            self._escaped = False
            out.append(text[at])
            return at + 1
        match = _STRING_END.search(text, at)
        end = match.end() if match else len(text)
        if match and match.group() == '"':
            self._in_string = False
        elif match:
            self._escaped = True
        out.append(text[at:end])
        return end

    def _outside(self, text: str, at: int, out: list[str]) -> int:
        """Takes a word, a bracket or space between strings; returns where it ends."""
        match = _OUTSIDE.match(text, at)
        word = match.group() if match else text[at:]
        if self._comma and word.isspace():
            self._comma += word
            return at + len(word)
        if word in ("}", "]"):
            self._comma = self._comma[1:]
            if self._open[-1:] == [word]:
                self._open.pop()
        out.append(self._comma)
        self._comma = ""
        if word == ",":
            self._comma = word
            return at + 1
        self._note(word)
        out.append(word)
        return at + len(word)

    def _note(self, word: str) -> None:
        if word == '"':
            self._in_string = True
        elif word in _CLOSER:
            self._open.append(_CLOSER[word])
        if not self._open and not word.isspace() and word not in ("}", "]"):
            self._raw = True  # no object and no array
        elif len(word) > 1 and not word.isspace() and not _PLAIN.fullmatch(word):
            self._raw = True  # single quotes, code

    @property
    def complete(self) -> bool:
        """Whether what came so far is one JSON value."""
        return _is_json("".join(self._sent))

    def close(self, *, natural: bool) -> str:
        """What is still to be sent. `natural`: the model ended the call, it was not cut off."""
        sent = "".join(self._sent)
        if not natural or _is_json(sent):
            return self._comma
        if not sent.strip() and not self._comma:
            return "{}"
        closers = "".join(reversed(self._open))
        if not self._in_string and closers and _is_json(sent + closers):
            return closers
        return self._comma


def _is_json(text: str) -> bool:
    """Whether `text` is JSON; NaN and Infinity, which Python's parser admits, are not."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return True

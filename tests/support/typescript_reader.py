"""Parses the notation of harmony/rendering/typescript.py back into the paths of its properties."""

import re

_COMMENT = re.compile(r"//[^\n]*")
_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*"|\[key: |\.\.\.|\[\]|[{}()\[\]|&<>,:?]|[^\s{}()\[\]|&<>,:?"]+'
)
Path = tuple[str, ...]


def names(typescript: str) -> dict[Path, set[str]]:
    """Each property's path (`[key]` for a map's values), with its marks: `:` or `?:`.

    Raises ValueError, with the position, for text that is not in the notation.
    """
    reader = _Reader(_TOKEN.findall(_without_comments(typescript)))
    reader.union(())
    if reader.tokens:
        raise ValueError(f"expected the end, got {reader.tokens[-5:][::-1]}")
    return reader.found


def _without_comments(text: str) -> str:
    """Removes comments; `//` inside quotes is not one."""
    parts = re.split(r'("(?:[^"\\\n]|\\.)*"|//[^\n]*)', text)
    return "".join("" if _COMMENT.fullmatch(part) else part for part in parts)


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens[::-1]
        self.found: dict[Path, set[str]] = {}

    def union(self, path: Path) -> None:
        """Types, each preceded by any number of `|`: a union of unions has two."""
        more = True
        while more:
            while self._take("|"):
                pass
            self._joined(path)
            more = self.tokens[-1:] == ["|"]

    def _joined(self, path: Path) -> None:
        self._one(path)
        while self._take("&"):
            self._one(path)

    def _one(self, path: Path) -> None:
        token = self.tokens.pop()
        if token == "{":
            self._members(path)
        elif token == "(":
            self._bracketed(path)
        elif token == "[":
            self._elements(path)
        elif re.fullmatch(r"[{}()\[\]|&<>,:?]|\[\]|\[key: ", token):
            raise ValueError(f"expected a type, got {token} {self.tokens[-5:][::-1]}")
        elif self._take("<"):
            self.union(path)
            self._expect(">")
        while self._take("[]"):
            pass

    def _bracketed(self, path: Path) -> None:
        if self._take("this"):
            self._expect("extends")
            self.union(path)
            self._expect("?")
            self.union(path)
            self._expect(":")
        self.union(path)
        self._expect(")")

    def _elements(self, path: Path) -> None:
        while not self._take("]"):
            self._take("...")
            self.union(path)
            self._take(",")

    def _members(self, path: Path) -> None:
        while not self._take("}"):
            name = self.tokens.pop()
            if name == "[key: ":
                self.union(path)
                self._expect("]")
                name = "[key]"
            mark = "?:" if self._take("?") else ":"
            self._expect(":")
            self.found.setdefault((*path, name.strip('"')), set()).add(mark)
            self.union((*path, name.strip('"')))
            self._take(",")

    def _take(self, token: str) -> bool:
        found = bool(self.tokens) and self.tokens[-1] == token
        if found:
            self.tokens.pop()
        return found

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise ValueError(f"expected {token} before {self.tokens[-5:][::-1]}")

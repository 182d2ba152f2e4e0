"""A text that arrives piece by piece and is needed whole at its end.

A list of pieces holds some 60 bytes for each beside its text, and a stream has a piece for each
token. UTF-8 in one buffer holds the text alone.
"""


class TextBuffer:
    """`add` pieces, then take `text`. JSON escapes can hold unpaired surrogates, so they pass."""

    __slots__ = ("_utf8",)

    def __init__(self) -> None:
        self._utf8 = bytearray()

    def __bool__(self) -> bool:
        return bool(self._utf8)

    def add(self, piece: str) -> None:
        self._utf8 += piece.encode("utf-8", "surrogatepass")

    @property
    def text(self) -> str:
        return self._utf8.decode("utf-8", "surrogatepass")

"""The tools on offer, and which of them a recipient means, as the model wrote it.

Rule: a recipient becomes one of the tools only where exactly one fits; any other keeps the name
that the model wrote, since the caller can still answer it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_NAME = re.compile(r"\w(?:[\w.\-/:]*\w)?")
_NAMESPACE = re.compile(r"(?:functions\.)+(?=.)", re.IGNORECASE)
_NAMESPACED = re.compile(r"(?:functions|browser)\..")
_TYPED_MARKER = re.compile(r"<\|\w*\|?>?")
_GLUED = ("commentary", "analysis", "final", "json", "code")
"""What follows a name in a header, and sticks to it where a marker is missing."""
PYTHON = "python"
"""gpt-oss's built-in tool; its arguments are code. The others are `browser.*`."""


class ToolNames:
    """The names of a request's tools (OpenAI's form)."""

    def __init__(self, tools: Sequence[Mapping[str, Any]] = ()) -> None:
        self.names: list[str] = [tool.get("function", tool)["name"] for tool in tools]
        self._by_letters: dict[str, list[str]] = {}
        for name in dict.fromkeys(self.names):
            self._by_letters.setdefault(_letters(name), []).append(name)

    def resolve(self, recipient: str) -> str:
        """The called tool's name: the tool that fits, or the name as the model wrote it."""
        if recipient in self.names:
            return recipient
        found = map(_NAME.search, _TYPED_MARKER.split(recipient))
        name = next((match.group() for match in found if match), "")
        return self._fitting(_NAMESPACE.sub("", name, count=1))

    def offers(self, recipient: str) -> bool:
        """Whether a recipient, or a word that may be one, means a tool on offer."""
        return self.resolve(recipient) in self.names

    def is_tool(self, word: str) -> bool:
        """Whether a word without `to=` can only be a tool's name."""
        return word in self.names or is_namespaced(word)

    def takes_code(self, name: str) -> bool:
        """Whether the tool's arguments are code, not JSON."""
        return name == PYTHON and PYTHON not in self.names

    def _fitting(self, name: str) -> str:
        """The one tool that `name` means but for case, punctuation and what sticks to it."""
        if name in self.names or not self.names:
            return name
        for written in (name, *(name.removesuffix(word) for word in _GLUED)):
            letters = _letters(written)
            for key in (letters, letters.removeprefix("functions")):
                fits = self._by_letters.get(key, [])
                if len(fits) == 1:
                    return fits[0]
        return name


def is_builtin(name: str) -> bool:
    """Whether a name is one of gpt-oss's own tools, which have no `functions.` before them."""
    return name == PYTHON or name.startswith("browser.")


def is_namespaced(name: str) -> bool:
    return _NAMESPACED.match(name) is not None


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())

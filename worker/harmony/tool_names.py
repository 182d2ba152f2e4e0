"""The tools on offer, and which of them a recipient means, as the model wrote it.

Rule: a recipient becomes one of the tools only where exactly one fits; any other keeps the name
that the model wrote, since the caller can still answer it.
"""

import re
from collections.abc import Container, Mapping, Sequence
from functools import cached_property

from worker.harmony.conversation import Json, Tool

_NAME = re.compile(r"(?=[\w.\-/:]*[^\W_])\w(?:[\w.\-/:]*\w)?")
_NAMESPACE = re.compile(r"(?:functions\.)+(?=.)", re.IGNORECASE)
_NAMESPACED = re.compile(r"(?:functions|browser)\..")
_TYPED_MARKER = re.compile(r"<\|\w*\|?>?")
_GLUED = ("commentary", "analysis", "final", "json", "code")
"""What follows a name in a header, and sticks to it where a marker is missing."""
_JUNK = 40
"""Letters that may stand in the middle of a name: what one token holds."""
PYTHON = "python"
"""gpt-oss's built-in tool; its arguments are code. The others are `browser.*`."""


class ToolNames:
    """The names of the tools on offer."""

    def __init__(self, tools: Sequence[Tool] = ()) -> None:
        self.names: list[str] = [tool.name for tool in tools]
        self._tools = tools

    @cached_property
    def _by_letters(self) -> dict[str, list[str]]:
        """The names by their letters alone, which only a mangled name is looked up by."""
        found: dict[str, list[str]] = {}
        for name in dict.fromkeys(self.names):
            found.setdefault(_letters(name), []).append(name)
        return found

    def resolve(self, recipient: str) -> str:
        """The called tool's name: the tool that fits, or the name as the model wrote it."""
        if recipient in self.names:
            return recipient
        found = map(_NAME.search, _TYPED_MARKER.split(recipient))
        name = next((match.group() for match in found if match), "")
        return self._fitting(_NAMESPACE.sub("", name, count=1))

    def named_in(self, text: str) -> str | None:
        """The one tool whose name stands in `text`, with junk around it or within: `get?_weather`.

        `get_weather_v2` does not name `get_weather`: it goes on like a name.
        """
        said = _letters(text)
        names = [letters for letters in self._by_letters if letters]
        whole = [letters for letters in names if letters in said and _stands(letters, text)]
        found = whole or [letters for letters in names if _is_split_in(letters, said)]
        longest = [n for n in found if not any(n != m and n in m for m in found)]
        meant = self._by_letters[longest[0]] if len(longest) == 1 else ()
        if len(meant) > 1:  # `Read` and `read` are told apart by how they are written
            meant = [name for name in meant if name in text]
        return meant[0] if len(meant) == 1 else None

    def offers(self, recipient: str) -> bool:
        """Whether a recipient, or a word that may be one, means a tool on offer."""
        return self.resolve(recipient) in self.names

    def is_tool(self, word: str) -> bool:
        """Whether a word without `to=` can only be a tool's name."""
        return word in self.names or is_namespaced(word)

    def takes_code(self, name: str) -> bool:
        """Whether the tool's arguments are code, not JSON."""
        return name == PYTHON and PYTHON not in self.names

    def code_property(self, name: str) -> str | None:
        """Where raw code goes for a function on offer that has a built-in tool's name, which the
        model was trained to call with code: its schema's only string property."""
        if not is_builtin(name) or name not in self.names:
            return None
        schema = self._tools[self.names.index(name)].parameters
        properties = schema.get("properties") if isinstance(schema, Mapping) else None
        if not isinstance(properties, Mapping):
            return None
        texts = [key for key, value in properties.items() if _types(value) == {"string"}]
        texts = texts or [key for key, value in properties.items() if "string" in _types(value)]
        return texts[0] if len(texts) == 1 else None

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


def recipient(name: str, offered: Container[str] = ()) -> str:
    """A tool's name as Harmony addresses it: a function on offer, and whatever is not built in, is
    in the namespace `functions`; gpt-oss's built-in tools are in none."""
    built_in = is_builtin(name) and name not in offered
    return name if built_in else f"functions.{name}"


def is_builtin(name: str) -> bool:
    """Whether a name is one of gpt-oss's own tools, which have no `functions.` before them."""
    return name == PYTHON or name.startswith("browser.")


def is_namespaced(name: str) -> bool:
    return _NAMESPACED.match(name) is not None


def _types(schema: Json) -> set[str]:
    """The JSON types that a property's schema names, if it is simple: `string`, or null."""
    if not isinstance(schema, Mapping):
        return set()
    either: Json = schema.get("anyOf") or schema.get("oneOf")
    simple = [schema, *(either if isinstance(either, list) else ())]
    named: list[Json] = [one.get("type") for one in simple if isinstance(one, Mapping)]
    flat = [kind for some in named for kind in (some if isinstance(some, list) else [some])]
    return {kind for kind in flat if isinstance(kind, str)}


def _stands(letters: str, text: str) -> bool:
    """Whether a name of these letters stands in `text` and does not go on."""
    name = r"[\W_]*".join(map(re.escape, letters))
    return re.search(rf"{name}(?![_.\-]\w)", text, re.IGNORECASE) is not None


def _is_split_in(name: str, letters: str) -> bool:
    """Whether `letters` have those of a name with something of one token in between."""
    if name in letters:
        return False
    for at in range(1, len(name)):
        begin = letters.find(name[:at])
        if begin < 0:
            return False
        end = letters.find(name[at:], begin + at)
        if 0 <= end <= begin + at + _JUNK:
            return True
    return False


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())

"""The tools on offer, and matching a recipient as the model wrote it to one of them.

Rule: a recipient is resolved to a tool only if exactly one fits. Otherwise it keeps the name that
the model wrote, since the client can still answer the call.
"""

import re
from collections.abc import Container, Mapping, Sequence
from functools import cached_property

from worker.harmony.conversation import Json, Tool

_NAME = re.compile(r"(?=[\w.\-/:]*[^\W_])\w(?:[\w.\-/:]*\w)?")
_NAMESPACE = re.compile(r"(?:functions\.)+(?=.)", re.IGNORECASE)
_NAMESPACED = re.compile(r"(?:functions|browser)\..")
_TYPED_MARKER = re.compile(r"<\|\w*\|?>?")
_SUFFIXES = ("commentary", "analysis", "final", "json", "code")
"""Words that follow a name in a header, without a space if a marker is missing."""
_JUNK = 40
"""The most letters of junk inside a name: as many as one token has."""
PYTHON = "python"
"""gpt-oss's built-in tool whose arguments are code. The other ones are `browser.*`."""


class ToolNames:
    """The names of the tools on offer."""

    def __init__(self, tools: Sequence[Tool] = ()) -> None:
        self.names: list[str] = [tool.name for tool in tools]
        self._tools = tools

    @cached_property
    def _by_letters(self) -> dict[str, list[str]]:
        """The names by their letters alone, to look up mangled names."""
        found: dict[str, list[str]] = {}
        for name in dict.fromkeys(self.names):
            found.setdefault(_letters(name), []).append(name)
        return found

    def resolve(self, recipient: str) -> str:
        """The called tool's name: the matching tool, or the name as the model wrote it."""
        if recipient in self.names:
            return recipient
        found = map(_NAME.search, _TYPED_MARKER.split(recipient))
        name = next((match.group() for match in found if match), "")
        return self._matching(_NAMESPACE.sub("", name, count=1))

    def named_in(self, text: str) -> str | None:
        """The only tool whose name occurs in `text`, with junk around or inside: `get?_weather`.

        `get_weather_v2` does not name `get_weather`, since the name goes on.
        """
        text_letters = _letters(text)
        names = [letters for letters in self._by_letters if letters]
        whole = [letters for letters in names if letters in text_letters and _occurs(letters, text)]
        found = whole or [letters for letters in names if _is_split_in(letters, text_letters)]
        longest = [n for n in found if not any(n != m and n in m for m in found)]
        matches = self._by_letters[longest[0]] if len(longest) == 1 else ()
        if len(matches) > 1:  # of `Read` and `read`, the one spelled as in `text`
            matches = [name for name in matches if name in text]
        return matches[0] if len(matches) == 1 else None

    def offers(self, recipient: str) -> bool:
        """Whether a recipient, or a word that may be one, resolves to a tool on offer."""
        return self.resolve(recipient) in self.names

    def is_tool(self, word: str) -> bool:
        """Whether a word without `to=` can only be a tool's name."""
        return word in self.names or is_namespaced(word)

    def takes_code(self, name: str) -> bool:
        """Whether the tool's arguments are code, not JSON."""
        return name == PYTHON and PYTHON not in self.names

    def code_property(self, name: str) -> str | None:
        """The property that takes raw code if a function on offer has a built-in tool's name: its
        schema's only string property. The model was trained to call that name with code."""
        if not is_builtin(name) or name not in self.names:
            return None
        schema = self._tools[self.names.index(name)].parameters
        properties = schema.get("properties") if isinstance(schema, Mapping) else None
        if not isinstance(properties, Mapping):
            return None
        texts = [key for key, value in properties.items() if _types(value) == {"string"}]
        texts = texts or [key for key, value in properties.items() if "string" in _types(value)]
        return texts[0] if len(texts) == 1 else None

    def _matching(self, name: str) -> str:
        """The only tool that `name` matches apart from case, punctuation and `_SUFFIXES`."""
        if name in self.names or not self.names:
            return name
        for written in (name, *(name.removesuffix(word) for word in _SUFFIXES)):
            letters = _letters(written)
            for key in (letters, letters.removeprefix("functions")):
                fits = self._by_letters.get(key, [])
                if len(fits) == 1:
                    return fits[0]
        return name


def recipient(name: str, offered: Container[str] = ()) -> str:
    """A tool's name as a Harmony recipient. Functions on offer, and all names that are not built
    in, are in the namespace `functions`; gpt-oss's built-in tools have no namespace."""
    built_in = is_builtin(name) and name not in offered
    return name if built_in else f"functions.{name}"


def is_builtin(name: str) -> bool:
    """Whether a name is one of gpt-oss's built-in tools, which are called without `functions.`."""
    return name == PYTHON or name.startswith("browser.")


def is_namespaced(name: str) -> bool:
    return _NAMESPACED.match(name) is not None


def _types(schema: Json) -> set[str]:
    """The JSON types that a property's schema names, directly or in an `anyOf` or `oneOf`."""
    if not isinstance(schema, Mapping):
        return set()
    either: Json = schema.get("anyOf") or schema.get("oneOf")
    simple = [schema, *(either if isinstance(either, list) else ())]
    named: list[Json] = [one.get("type") for one in simple if isinstance(one, Mapping)]
    flat = [kind for some in named for kind in (some if isinstance(some, list) else [some])]
    return {kind for kind in flat if isinstance(kind, str)}


def _occurs(letters: str, text: str) -> bool:
    """Whether a name with these letters occurs in `text` and ends there."""
    name = r"[\W_]*".join(map(re.escape, letters))
    return re.search(rf"{name}(?![_.\-]\w)", text, re.IGNORECASE) is not None


def _is_split_in(name: str, letters: str) -> bool:
    """Whether `letters` contain those of `name` with about a token's worth of junk in between."""
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

"""The tools of a Responses request, and what they are called on the way to gpt-oss and back.

gpt-oss calls functions by one flat name. The Responses API has three kinds of tools:

- A function is itself.
- A namespace (Codex offers one for each MCP server) groups functions and custom tools. Its member
  `close_agent` becomes `multi_agent_v1__close_agent` for the model, and a call of it goes out as
  `{"name": "close_agent", "namespace": "multi_agent_v1"}`.
- A custom tool takes free text. It becomes a function with one string, `{"input": …}`, and a call
  of it goes out as the bare text. A grammar for that text is shown to the model but not enforced.

Tools that OpenAI runs itself are not shown to the model: some are ignored, because Codex offers
them unasked, the others are an error.
Source: https://platform.openai.com/docs/api-reference/responses/create#responses-create-tools.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from worker.api.dialect import Object
from worker.api.fields import TOOL_NAME, Fields, json_type, parsed_as
from worker.errors import BadRequest
from worker.harmony.conversation import Tool, Wanted

log = logging.getLogger(__name__)

Name = Annotated[str, Field(pattern=TOOL_NAME)]
INPUT = "input"
"""The only property of a custom tool, as the model sees it."""
_FREE_TEXT = {
    "type": "object",
    "properties": {INPUT: {"type": "string"}},
    "required": [INPUT],
    "additionalProperties": False,
}


class ResponsesFunction(Fields):
    """A function. `strict` must be asked for: it holds the turn to one call."""

    type: Literal["function"]
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def tool(self, name: str) -> Tool:
        return Tool(name, self.description or "", self.parameters, self.strict is True)

    def shown(self) -> Object:
        return self.model_dump() | {"strict": self.strict is True}


class InputFormat(Fields):
    """Free text, or text by a grammar."""

    type: Literal["text", "grammar"] = "text"
    syntax: str | None = None
    definition: str | None = None


class FreeTextTool(Fields):
    """A custom tool."""

    type: Literal["custom"]
    name: Name
    description: str | None = None
    format: InputFormat | None = None

    def tool(self, name: str) -> Tool:
        return Tool(name, "\n\n".join(self._description()), _FREE_TEXT)

    def _description(self) -> Iterator[str]:
        if self.description:
            yield self.description
        if self.format and self.format.definition:
            syntax = self.format.syntax or "given"
            yield f"`{INPUT}` must follow this {syntax} grammar:\n{self.format.definition}"

    def shown(self) -> Object:
        form = self.format.model_dump(exclude_none=True) if self.format else {"type": "text"}
        return self.model_dump(exclude={"format"}) | {"format": form}


def _member_model(value: Any) -> type[Fields]:
    kind = _type(value)
    if kind not in ("function", "custom"):
        raise ValueError(f"must hold tools of type function or custom, not {_shown_type(kind)}")
    return ResponsesFunction if kind == "function" else FreeTextTool


Member = Annotated[ResponsesFunction | FreeTextTool, parsed_as(_member_model)]


class ToolNamespace(Fields):
    """A group of tools under one name."""

    type: Literal["namespace"]
    name: Name
    description: str | None = None
    tools: list[Member]

    def shown(self) -> Object:
        return {
            "type": self.type,
            "name": self.name,
            "description": self.description or "",
            "tools": [member.shown() for member in self.tools],
        }


class HostedTool(Fields):
    """A tool that OpenAI runs and this worker ignores."""

    type: str


_IGNORED = re.compile(r"web_search\w*|image_generation|tool_search")
"""Codex offers these without being asked."""


_MODELS: Mapping[str, type[Fields]] = {
    "function": ResponsesFunction,
    "custom": FreeTextTool,
    "namespace": ToolNamespace,
}


def _tool_model(value: Any) -> type[Fields]:
    kind = _type(value)
    if not isinstance(kind, str):
        raise ValueError(f"must be an object with a type, not {json_type(value)}")
    if kind == "function" and isinstance(value.get("function"), Mapping):
        raise ValueError(
            "must have name, description and parameters beside type, not in function as in chat "
            "completions"
        )
    if _IGNORED.fullmatch(kind):
        _warn_ignored(kind[:80])
        return HostedTool
    if kind not in _MODELS:
        raise ValueError(
            f"tools of type {_shown_type(kind)} are not supported; offer a function that does it"
        )
    return _MODELS[kind]


@lru_cache(maxsize=64)
def _warn_ignored(kind: str) -> None:
    """Logs each type once: a client offers its tools in every request."""
    log.warning("ignored a tool that OpenAI runs itself: %r", kind)


ToolField = Annotated[
    ResponsesFunction | FreeTextTool | ToolNamespace | HostedTool, parsed_as(_tool_model)
]


def _type(value: Any) -> Any:
    return value.get("type") if isinstance(value, Mapping) else None


def _shown_type(kind: Any) -> str:
    return repr(kind[:40]) if isinstance(kind, str) else json_type(kind)


class ChosenTool(Fields):
    """`{"type": "function", "name": …}`, of a namespace or not."""

    type: Literal["function", "custom"]
    name: str
    namespace: str | None = None


class ChosenSubset(Fields):
    """`{"type": "allowed_tools", "mode": …, "tools": […]}`."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[ChosenTool], Field(min_length=1)]


_MODES = ("none", "auto", "required")
_CHOICES: Mapping[str, type[Fields]] = {
    "function": ChosenTool,
    "custom": ChosenTool,
    "allowed_tools": ChosenSubset,
}


def _choice(value: Any) -> Any:
    """A mode, or an object parsed as what its type names."""
    if isinstance(value, str):
        if value not in _MODES:
            raise ValueError(f"must be one of {', '.join(_MODES)}, or an object that names a tool")
        return value
    kind = _type(value)
    if not isinstance(kind, str) or kind not in _CHOICES:
        raise ValueError(
            f"must be one of {', '.join(_MODES)}, or an object of type function, custom or "
            f"allowed_tools, not {_shown_type(kind) if kind else json_type(value)}"
        )
    return _CHOICES[kind].model_validate(value)


_Mode = Annotated[str, Field(json_schema_extra={"enum": [*_MODES]})]
ChoiceField = Annotated[_Mode | ChosenTool | ChosenSubset, BeforeValidator(_choice)]


class CallTarget(NamedTuple):
    """What a call goes out as. `is_custom`: as a `custom_tool_call`."""

    name: str
    namespace: str | None = None
    is_custom: bool = False


@dataclass(frozen=True)
class OfferedTools:
    """The tools of a request, under both names."""

    fields: Sequence[ResponsesFunction | FreeTextTool | ToolNamespace | HostedTool]

    @cached_property
    def tools(self) -> list[Tool]:
        """As the model sees them."""
        return [member.tool(name) for name, member, _ in self._flat()]

    def shown(self) -> list[Object]:
        """As the response object has them: without those that are ignored."""
        return [each.shown() for each in self.fields if not isinstance(each, HostedTool)]

    def _flat(self) -> Iterator[tuple[str, ResponsesFunction | FreeTextTool, str | None]]:
        for each in self.fields:
            if isinstance(each, ToolNamespace):
                for member in each.tools:
                    yield flat_name(member.name, each.name), member, each.name
            elif not isinstance(each, HostedTool):
                yield each.name, each, None

    @cached_property
    def _targets(self) -> dict[str, CallTarget]:
        """By flat name; of two tools with one name, the first counts."""
        found: dict[str, CallTarget] = {}
        for name, member, namespace in self._flat():
            target = CallTarget(member.name, namespace, isinstance(member, FreeTextTool))
            found.setdefault(name, target)
        return found

    @cached_property
    def _by_member(self) -> dict[str, list[str]]:
        """The flat names of the members of namespaces, by their own."""
        found: dict[str, list[str]] = {}
        for flat, target in self._targets.items():
            if target.namespace is not None:
                found.setdefault(target.name, []).append(flat)
        return found

    def flat(self, name: str, namespace: str | None) -> str:
        """The name that the model knows a tool by.

        `close_agent` without its namespace is found if only one namespace has such a member.
        """
        if namespace:
            return flat_name(name, namespace)
        members = self._by_member.get(name, ())
        return members[0] if name not in self._targets and len(members) == 1 else name

    def target(self, called: str) -> CallTarget:
        """What a call goes out as, by the name that the model called. An unknown name stays: the
        client tells the model."""
        return self._targets.get(self.flat(called, None), CallTarget(called))

    def wanted(self, choice: str | ChosenTool | ChosenSubset | None) -> Wanted:
        """What `tool_choice` asks for. Raises BadRequest if it names a tool that is not offered."""
        match choice:
            case ChosenTool():
                return Wanted(self.tools, "required", self._names([choice]))
            case ChosenSubset(mode=mode, tools=tools):
                return Wanted(self.tools, mode, self._names(tools))
            case "required":
                if not self.tools:
                    raise BadRequest(
                        "tool_choice requires a tool call, but tools is empty; send at least one "
                        "tool.",
                        param="tool_choice",
                    )
                return Wanted(self.tools, "required", list(self._targets))
            case "none":
                return Wanted(self.tools, "none")
            case _:
                return Wanted(self.tools)

    def _names(self, chosen: Sequence[ChosenTool]) -> list[str]:
        return [self._offered(tool) for tool in chosen]

    def _offered(self, chosen: ChosenTool) -> str:
        name = self.flat(chosen.name, chosen.namespace)
        target = self._targets.get(name)
        if target is None or target.is_custom != (chosen.type == "custom"):
            raise BadRequest(
                f"tool_choice names the {chosen.type} tool {chosen.name!r}, which is not in tools.",
                param="tool_choice",
            )
        return name


def flat_name(name: str, namespace: str | None) -> str:
    """`multi_agent_v1__close_agent`."""
    return f"{namespace}__{name}" if namespace else name


def arguments_of(text: str) -> str:
    """The arguments by which the model calls a custom tool with `text`. gpt-oss writes JSON without
    spaces: `{"input":"ls"}`."""
    return json.dumps({INPUT: text}, ensure_ascii=False, separators=(",", ":"))

"""The constraints a client can set: a tool call (`tool_choice`), or the answer's format
(`response_format`, `structured_outputs`).

Only the fields' shape is checked here; worker.harmony.grammar decides whether a constraint can be
enforced.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import AliasChoices, BeforeValidator, Field

from worker.api.fields import Fields
from worker.errors import BadRequest
from worker.harmony.conversation import (
    AnswerForm,
    ChoiceAnswer,
    GrammarAnswer,
    JsonAnswer,
    RegexAnswer,
)

Mode = Literal["auto", "none", "required"]
_MODES = get_args(Mode)


class FunctionName(Fields):
    name: str


class NamedTool(Fields):
    """`{"type": "function", "function": {"name": …}}`."""

    type: Literal["function"]
    function: FunctionName


class ToolSubset(Fields):
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1)]


class AllowedTools(Fields):
    """`{"type": "allowed_tools", "allowed_tools": {"mode": …, "tools": […]}}`."""

    type: Literal["allowed_tools"]
    allowed_tools: ToolSubset


def _tool_choice(value: Any) -> Any:
    """Parses a mode, one tool by name, or a mode with a subset of the tools, as in OpenAI's API."""
    if isinstance(value, str):
        if value not in _MODES:
            raise ValueError(f"must be one of {', '.join(_MODES)}, or an object that names a tool")
        return value
    kind = value.get("type") if isinstance(value, dict) else None
    model = {"function": NamedTool, "allowed_tools": AllowedTools}.get(str(kind))
    if model is None:
        raise ValueError(
            f"must be one of {', '.join(_MODES)}, or an object of type function or allowed_tools"
        )
    return model.model_validate(value)


ToolChoice = Annotated[
    Any,
    BeforeValidator(_tool_choice, json_schema_input_type=Mode | NamedTool | AllowedTools),
]


class JsonSchemaFormat(Fields):
    name: str = ""
    description: str | None = None
    json_schema: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None


class ResponseFormat(Fields):
    """Free text, any JSON object, or JSON with a schema.

    The schema is in `json_schema` (OpenAI), or beside the type, in `schema` (llama.cpp, Together)
    or `value` (TGI).
    """

    type: Literal["text", "json_object", "json_schema", "json"]
    json_schema: JsonSchemaFormat | None = None
    bare_schema: Annotated[
        dict[str, Any] | None,
        Field(validation_alias=AliasChoices("schema", "value")),
    ] = None

    @property
    def is_constrained(self) -> bool:
        return self.type != "text"

    def model_post_init(self, _context: Any) -> None:
        if self.type == "json_schema" and self.json_schema is None and self.bare_schema is None:
            raise ValueError("must have json_schema if its type is json_schema")
        if self.type == "text" and self.bare_schema is not None:
            raise ValueError("must not have a schema if its type is text")


class StructuredOutputs(Fields):
    """vLLM's object: exactly one of these."""

    json_schema: Annotated[dict[str, Any] | None, Field(alias="json")] = None
    json_object: Literal[True] | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None

    def form(self) -> AnswerForm:
        if self.regex is not None:
            return RegexAnswer(self.regex)
        if self.choice is not None:
            return ChoiceAnswer(self.choice)
        if self.grammar is not None:
            return GrammarAnswer(self.grammar)
        return JsonAnswer(self.json_schema)


def resolve_tool_choice(
    choice: Mode | NamedTool | AllowedTools | None, offered: Sequence[str]
) -> tuple[Mode, Sequence[str] | None]:
    """Resolves a `tool_choice` to a mode and the names of the allowed tools (None: all).

    Raises BadRequest if it names a tool that is not in `tools`.
    """
    match choice:
        case NamedTool():
            return "required", _check_offered([choice.function.name], offered)
        case AllowedTools(allowed_tools=allowed):
            return allowed.mode, _check_offered(
                [tool.function.name for tool in allowed.tools], offered
            )
        case "required":
            return "required", _check_offered(offered, offered)
        case "none":
            return "none", None
        case "auto" | None:
            return "auto", None


def _check_offered(names: Sequence[str], offered: Sequence[str]) -> Sequence[str]:
    for name in names:
        if name not in offered:
            raise BadRequest(
                f"tool_choice names the tool {name!r}, which is not in tools.", param="tool_choice"
            )
    if not names:
        raise BadRequest(
            "tool_choice requires a tool call, but tools is empty; send at least one tool.",
            param="tool_choice",
        )
    return names


def resolve_answer_form(
    response_format: ResponseFormat | None, structured: StructuredOutputs | None
) -> AnswerForm | None:
    """The format that the final answer must have, or None for free text."""
    if structured is not None:
        return structured.form()
    if response_format is None or response_format.type == "text":
        return None
    if response_format.json_schema is None:
        return JsonAnswer(response_format.bare_schema or None)
    wanted = response_format.json_schema
    return JsonAnswer(
        wanted.json_schema,
        wanted.strict is True,
        wanted.name,
        wanted.description or "",
        "response_format.json_schema.schema",
    )

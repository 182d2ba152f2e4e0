"""What a caller can force: a call (`tool_choice`), or the answer's form (`response_format`,
`structured_outputs`).

Rule: only the shape is read here; whether it can be guaranteed is for worker.harmony.grammar.
"""

from collections.abc import Mapping, Sequence
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
    """A mode, one tool by name, or a subset of the tools with a mode; as OpenAI writes them."""
    if isinstance(value, str):
        if value not in _MODES:
            raise ValueError(f"must be one of {', '.join(_MODES)}, or name a tool")
        return value
    kind = value.get("type") if isinstance(value, dict) else None
    model = {"function": NamedTool, "allowed_tools": AllowedTools}.get(str(kind))
    if model is None:
        raise ValueError("must be a mode, a function or allowed_tools")
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
    """Free text, any JSON object, or JSON by a schema: OpenAI's in `json_schema`, others' beside
    the type (llama.cpp's and Together's `schema`, TGI's `value`)."""

    type: Literal["text", "json_object", "json_schema", "json"]
    json_schema: JsonSchemaFormat | None = None
    bare_schema: Annotated[
        dict[str, Any] | None,
        Field(validation_alias=AliasChoices("schema", "value")),
    ] = None

    @property
    def forces(self) -> bool:
        return self.type != "text"

    def model_post_init(self, _context: Any) -> None:
        if self.type == "json_schema" and self.json_schema is None and self.bare_schema is None:
            raise ValueError("json_schema is missing")
        if self.type == "text" and self.bare_schema is not None:
            raise ValueError("schema does not go with the type text")


def calls_wanted(choice: Any, offered: Sequence[str]) -> tuple[Mode, Sequence[str] | None]:
    """What a `tool_choice` asks: whether to call, and among which tools (None: all).

    Raises BadRequest for a tool that is not offered.
    """
    match choice:
        case NamedTool():
            return "required", _known([choice.function.name], offered)
        case AllowedTools(allowed_tools=allowed):
            return allowed.mode, _known([tool.function.name for tool in allowed.tools], offered)
        case "required":
            return "required", _known(offered, offered)
        case "none":
            return "none", None
        case _:
            return "auto", None


def _known(names: Sequence[str], offered: Sequence[str]) -> Sequence[str]:
    for name in names:
        if name not in offered:
            raise BadRequest(f"tool_choice: {name!r} is not among the tools.", param="tool_choice")
    if not names:
        raise BadRequest(
            "tool_choice asks for a call, but no tool is offered.", param="tool_choice"
        )
    return names


def answer_wanted(
    response_format: ResponseFormat | None, structured: Mapping[str, Any] | None
) -> AnswerForm | None:
    """The form that the final answer must have, or None if it is free text."""
    if structured:
        return _structured(structured)
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


def _structured(outputs: Mapping[str, Any]) -> AnswerForm:
    """vLLM's `structured_outputs`, of which worker.api.field_table has left one kind."""
    match outputs:
        case {"json": schema}:
            return JsonAnswer(schema)
        case {"regex": pattern}:
            return RegexAnswer(pattern)
        case {"choice": texts}:
            return ChoiceAnswer(texts)
        case {"grammar": ebnf}:
            return GrammarAnswer(ebnf)
        case {"json_object": _}:
            return JsonAnswer(None)
        case _:
            raise BadRequest(
                "structured_outputs takes one of json, json_object, regex, choice and grammar.",
                param="structured_outputs",
            )

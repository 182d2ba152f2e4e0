"""What a caller can force: a call (`tool_choice`), or JSON as the answer (`response_format`).

Rule: only the shape is read here; whether it can be guaranteed is for worker.harmony.grammar.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from worker.api.fields import Fields

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
    name: str
    description: str | None = None
    json_schema: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None


class ResponseFormat(Fields):
    """Free text, any JSON object (or one by a schema beside it), or JSON by a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None
    object_schema: Annotated[dict[str, Any] | None, Field(alias="schema")] = None

    @property
    def forces(self) -> bool:
        return self.type != "text"

    def model_post_init(self, _context: Any) -> None:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("json_schema is missing")
        if self.type != "json_object" and self.object_schema is not None:
            raise ValueError("schema goes with the type json_object")

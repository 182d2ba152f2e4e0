"""The tools of a request, and `tool_choice`.

Only the client's own tools (`custom`) are supported. Tools that Anthropic's servers run, or whose
schema only Anthropic's models know (`web_search_20250305`, `bash_20250124`), are rejected by name.
Source: https://docs.anthropic.com/en/api/messages (tools, tool_choice).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from worker.api.fields import TOOL_NAME, Fields, json_type
from worker.errors import BadRequest
from worker.harmony.conversation import Tool

Calls = tuple[Literal["auto", "required", "none"], Sequence[str] | None]
"""Whether to call, and among which tools (None: all)."""


class CustomTool(Fields):
    """A tool that the client runs. `defer_loading`: shown to the model by a `tool_reference`."""

    type: Literal["custom"] | None = None
    name: Annotated[str, Field(pattern=TOOL_NAME)]
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None
    defer_loading: bool | None = None

    def tool(self) -> Tool:
        return Tool(
            self.name,
            self.description or "",
            self.input_schema,
            strict=self.strict is True,
            deferred=self.defer_loading is True,
        )


def _custom(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a tool, not {json_type(value)}")
    kind: Any = value.get("type")
    if kind not in (None, "custom"):
        raise ValueError(
            f"{str(kind)[:60]!r} tools are not supported: this server runs no tools itself; define "
            "one of your own with a name and an input_schema"
        )
    return value


OfferedTool = Annotated[CustomTool, BeforeValidator(_custom)]


class ToolChoiceOption(Fields):
    """`auto`: calls or an answer; `any`: at least one call; `tool`: of that name; `none`."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None

    def model_post_init(self, _context: Any) -> None:
        if self.type == "tool" and self.name is None:
            raise ValueError("the type tool requires a name")

    def calls(self, tools: Sequence[Tool]) -> Calls:
        """Whether and what to call. Raises BadRequest for a tool that is not offered."""
        offered = [tool.name for tool in tools]
        match self.type:
            case "auto":
                return "auto", None
            case "none":
                return "none", None
            case "any":
                if not offered:
                    raise BadRequest(
                        "tool_choice asks for a call, but no tool is offered.", param="tool_choice"
                    )
                return "required", offered
            case "tool":
                if self.name not in offered:
                    raise BadRequest(
                        f"tool_choice: {self.name!r:.80} is not among the tools.",
                        param="tool_choice",
                    )
                return "required", [self.name]

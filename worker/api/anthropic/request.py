"""Requests for a message, and for the number of tokens in its prompt.

Both render the same prompt, so the count equals the prompt tokens in the message's usage.
Source: https://docs.anthropic.com/en/api/messages, and .../messages-count-tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from worker.api.anthropic.answer import MessagesAnswer, MessagesFold, Shown
from worker.api.anthropic.blocks import SystemContent, TextBlock
from worker.api.anthropic.messages import AnyMessages, AssistantMessage, history, instructions
from worker.api.anthropic.tools import OfferedTool, ToolChoiceOption
from worker.api.dialect import Asked, Head
from worker.api.field_table import RequestKind
from worker.api.fields import Fields, RequestFields
from worker.api.sampling import CoreSampling, Limit, StopField
from worker.harmony.capsule import Capsules
from worker.harmony.conversation import Conversation, Instruction, JsonAnswer, Wanted
from worker.harmony.vocabulary import STOP_IDS
from worker.turn import TurnOptions

CALL_PREFIX = "toolu_"
FORMAT_NAME = "answer"
"""Harmony shows the schema of an answer to the model with a name, and this API has none."""


class ThinkingOptions(Fields):
    """gpt-oss always reasons: `disabled` means low effort, not shown. It has effort levels, not
    budgets, so `budget_tokens` is ignored."""

    type: Literal["adaptive", "enabled", "between_tools", "disabled"]
    display: Literal["summarized", "omitted", "updates"] | None = None


class OutputFormat(Fields):
    type: Literal["json_schema"]
    json_schema: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(Fields):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


def _harmless(kind: str) -> str:
    """Harmony drops thinking before the last answer anyway; other edits would change the prompt."""
    if not kind.startswith("clear_thinking"):
        raise ValueError("is not supported; only clear_thinking is")
    return kind


class ContextEdit(Fields):
    type: Annotated[str, AfterValidator(_harmless)]


class ContextManagement(Fields):
    edits: list[ContextEdit] | None = None


def _not_the_assistants(messages: AnyMessages) -> AnyMessages:
    if isinstance(messages[-1], AssistantMessage):
        raise ValueError("prefill is not supported: the last message must be the user's")
    return messages


class MessagesPrompt(RequestFields):
    """The fields that affect the prompt. Null means the same as an absent field."""

    model: str | None = None
    messages: Annotated[AnyMessages, AfterValidator(_not_the_assistants)]
    system: SystemContent = Field(default_factory=list[TextBlock])
    tools: list[OfferedTool] | None = None
    tool_choice: ToolChoiceOption | None = None
    thinking: ThinkingOptions | None = None
    output_config: OutputConfig | None = None
    context_management: ContextManagement | None = None

    @property
    def thinks_aloud(self) -> bool:
        """Whether the answer contains thinking, if only as a signature."""
        return self.thinking is None or self.thinking.type != "disabled"

    def conversation(self, capsules: Capsules) -> Conversation:
        """The conversation that is rendered. Raises BadRequest for a tool that is not offered."""
        tools = [each.tool() for each in self.tools or ()]
        calls, among = self.tool_choice.calls(tools) if self.tool_choice else ("auto", None)
        system = instructions(self.system)
        messages = history(self.messages, {tool.name: tool for tool in tools}, capsules)
        return Conversation(
            [*([Instruction(system)] if system else ()), *messages],
            Wanted(tools, calls, among, self._form(), self._effort),
        )

    @property
    def _effort(self) -> str | None:
        if not self.thinks_aloud:
            return "low"
        return self.output_config.effort if self.output_config else None

    def _form(self) -> JsonAnswer | None:
        """The schema that the grammar enforces on the answer."""
        if self.output_config is None or self.output_config.format is None:
            return None
        schema = self.output_config.format.json_schema
        field = "output_config.format.schema"
        return JsonAnswer(schema, strict=True, name=FORMAT_NAME, field=field)


class CountRequest(MessagesPrompt):
    """A request for the number of a prompt's tokens."""

    kind: ClassVar[RequestKind] = "count_tokens"


class MessagesRequest(MessagesPrompt, CoreSampling):
    """A request for a message."""

    kind: ClassVar[RequestKind] = "messages"

    max_tokens: Limit
    stream: bool | None = None
    stop_sequences: StopField | None = None

    @property
    def shown(self) -> Shown:
        """How the answer shows thinking."""
        omitted = self.thinking is not None and self.thinking.display == "omitted"
        return "signature" if omitted else "text"

    def options(self) -> TurnOptions:
        """How the turn is shown and ended."""
        choice = self.tool_choice
        return TurnOptions(
            stop=self.stop_sequences or (),
            one_call=choice is not None and choice.disable_parallel_tool_use is True,
            reasoning=self.thinks_aloud,
        )


@dataclass(frozen=True, slots=True)
class AskedMessage:
    """A valid request for a message, with the capsules that carry its thinking."""

    request: MessagesRequest
    capsules: Capsules

    def asked(self) -> Asked:
        """A `max_tokens` beyond the context is not an error: agents send the model's maximum."""
        request = self.request
        prompts: Sequence[Conversation] = [request.conversation(self.capsules)]
        return Asked(
            model=request.model,
            prompts=prompts,
            prompt_field="messages",
            sampling=request.core_sampling(request.max_tokens, STOP_IDS),
            options=request.options(),
            streams=request.stream is True,
            call_prefix=CALL_PREFIX,
        )

    def answer(self, head: Head) -> MessagesAnswer:
        return MessagesAnswer(head, self.capsules, self.request.shown)

    def fold(self) -> MessagesFold:
        return MessagesFold()

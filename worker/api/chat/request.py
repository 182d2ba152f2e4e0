"""A chat completion request: validation, and conversion to what the worker should generate.

Source: https://platform.openai.com/docs/api-reference/chat/create.
"""

from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from worker.api.chat.answer import ChatAnswer, ChatFold
from worker.api.chat.constraints import (
    ResponseFormat,
    StructuredOutputs,
    ToolChoice,
    resolve_answer_form,
    resolve_tool_choice,
)
from worker.api.chat.messages import ChatMessage, FunctionTool, history
from worker.api.dialect import Asked, Head
from worker.api.field_table import RequestKind
from worker.api.sampling import Effort, SamplingFields, TokenIds, ordinary_tokens
from worker.generation import NO_TOKEN_LIMIT
from worker.harmony.conversation import Conversation, Wanted
from worker.harmony.vocabulary import STOP_IDS
from worker.turn import TurnOptions


class ChatRequest(SamplingFields):
    """A chat completion request. A missing field and null mean the same."""

    kind: ClassVar[RequestKind] = "chat"

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    tools: list[FunctionTool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Effort | None = None
    stop_token_ids: Annotated[TokenIds, AfterValidator(ordinary_tokens)] | None = None
    structured_outputs: StructuredOutputs | None = None
    include_reasoning: bool | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    @model_validator(mode="after")
    def _check_conflicts(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs requires logprobs to be true")
        if self.structured_outputs and self.response_format and self.response_format.is_constrained:
            raise ValueError(
                "response_format and structured_outputs cannot be combined; send only one of them"
            )
        return self

    def conversation(self) -> Conversation:
        """The conversation so far and what to generate.

        Raises BadRequest if `tool_choice` names a tool that is not in `tools`.
        """
        tools = [each.tool() for each in self.tools or ()]
        calls, among = resolve_tool_choice(self.tool_choice, [tool.name for tool in tools])
        answer = resolve_answer_form(self.response_format, self.structured_outputs)
        wanted = Wanted(tools, calls, among, answer, self.reasoning_effort)
        return Conversation(history(self.messages), wanted)

    def asked(self) -> Asked:
        """What to generate. A `max_tokens` that exceeds the context is not an error, because agents
        ask for the model's maximum."""
        return Asked(
            model=self.model,
            prompts=[self.conversation()],
            prompt_field="messages",
            sampling=self.to_sampling(
                max_tokens=self.max_tokens or NO_TOKEN_LIMIT,
                top_logprobs=(self.top_logprobs or 0) if self.logprobs else None,
                stop_ids=STOP_IDS,
            ),
            options=TurnOptions(
                stop=self.stop or (),
                stop_ids=frozenset(self.stop_token_ids or ()),
                one_call=self.parallel_tool_calls is False,
                reasoning=self.include_reasoning is not False,
                logprobs=bool(self.logprobs),
            ),
            choices=self.choices,
            streams=bool(self.stream),
        )

    def answer(self, head: Head) -> ChatAnswer:
        usage = self.include_usage or not self.stream
        return ChatAnswer(head, usage=usage, null_usage=self.include_usage)

    def fold(self) -> ChatFold:
        return ChatFold()

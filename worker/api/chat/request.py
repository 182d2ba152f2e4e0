"""A chat completion request: validated, and what it asks.

Source: https://platform.openai.com/docs/api-reference/chat/create.
"""

from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from worker.api.chat.answer import ChatAnswer, ChatFold
from worker.api.chat.forced import ResponseFormat, ToolChoice, answer_wanted, calls_wanted
from worker.api.chat.messages import ChatMessage, FunctionTool, history
from worker.api.dialect import Asked, Head
from worker.api.field_table import Route
from worker.api.sampling import SamplingFields, TokenIds
from worker.generation import AS_MANY_AS_FIT
from worker.harmony.conversation import Conversation, Wanted
from worker.harmony.rendering.instructions import EFFORTS
from worker.harmony.vocabulary import FIRST_SPECIAL, STOP_IDS
from worker.turn import TurnOptions


def _effort(value: str) -> str:
    if value not in EFFORTS:
        raise ValueError(f"must be one of {', '.join(EFFORTS)}")
    return value


Effort = Annotated[str, AfterValidator(_effort), Field(json_schema_extra={"enum": [*EFFORTS]})]


def _ordinary(ids: list[int]) -> list[int]:
    """Ids of text, or those that end an answer anyway: other markers are between its messages."""
    for token in ids:
        if token >= FIRST_SPECIAL and token not in STOP_IDS:
            raise ValueError(f"takes ids of ordinary tokens, below {FIRST_SPECIAL}, not {token}")
    return ids


class ChatRequest(SamplingFields):
    """A chat completion request. An absent field and null mean the same."""

    route: ClassVar[Route] = "chat"

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    tools: list[FunctionTool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Effort | None = None
    stop_token_ids: Annotated[TokenIds, AfterValidator(_ordinary)] | None = None
    structured_outputs: dict[str, Any] | None = None
    include_reasoning: bool | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs takes logprobs to be true")
        if self.structured_outputs and self.response_format and self.response_format.forces:
            raise ValueError("response_format and structured_outputs contradict each other")
        return self

    def conversation(self) -> Conversation:
        """What was said, and what is wanted. Raises BadRequest for a tool that is not offered."""
        tools = [each.tool() for each in self.tools or ()]
        calls, among = calls_wanted(self.tool_choice, [tool.name for tool in tools])
        answer = answer_wanted(self.response_format, self.structured_outputs)
        wanted = Wanted(tools, calls, among, answer, self.reasoning_effort)
        return Conversation(history(self.messages), wanted)

    def asked(self) -> Asked:
        """More tokens than fit are not an error: agents ask for the model's maximum."""
        return Asked(
            model=self.model,
            prompts=[self.conversation()],
            prompt_field="messages",
            sampling=self.sampling_with(
                max_tokens=self.max_tokens or AS_MANY_AS_FIT,
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

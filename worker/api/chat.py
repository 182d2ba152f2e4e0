"""A chat completion request: validated, and what an engine and the answer's shape need of it.

Source: https://platform.openai.com/docs/api-reference/chat/create.
"""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from worker.api.forced import ResponseFormat, ToolChoice
from worker.api.messages import Message, Tool
from worker.api.sampling import SamplingFields
from worker.generation import Sampling
from worker.harmony.instructions import EFFORTS
from worker.harmony.vocabulary import STOP_IDS


def _effort(value: str) -> str:
    if value not in EFFORTS:
        raise ValueError(f"must be one of {', '.join(EFFORTS)}")
    return value


Effort = Annotated[str, AfterValidator(_effort), Field(json_schema_extra={"enum": [*EFFORTS]})]


class ChatRequest(SamplingFields):
    """A chat completion request. An absent field and null mean the same."""

    messages: Annotated[list[Message], Field(min_length=1)]
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Effort | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs takes logprobs to be true")
        return self

    def sampling(self, room: int, choice: int, structural_tag: str | None = None) -> Sampling:
        """How to generate choice number `choice` with `room` tokens left in the context.

        More tokens than fit are not an error: agents ask for the model's maximum.
        """
        wanted = self.max_completion_tokens or self.max_tokens or room
        return self.sampling_with(
            max_tokens=min(wanted, room),
            choice=choice,
            top_logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            stop_ids=STOP_IDS,
            structural_tag=structural_tag,
        )

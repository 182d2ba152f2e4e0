"""A chat completion request: validated, and what an engine and the answer's shape need of it.

Source: https://platform.openai.com/docs/api-reference/chat/create.
"""

from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from worker.api.field_table import Route
from worker.api.forced import ResponseFormat, ToolChoice
from worker.api.messages import Message, Tool
from worker.api.sampling import SamplingFields, TokenIds
from worker.generation import Sampling
from worker.harmony.instructions import EFFORTS
from worker.harmony.vocabulary import FIRST_SPECIAL, STOP_IDS


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

    messages: Annotated[list[Message], Field(min_length=1)]
    tools: list[Tool] | None = None
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
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs takes logprobs to be true")
        if self.structured_outputs and self.response_format and self.response_format.forces:
            raise ValueError("response_format and structured_outputs contradict each other")
        return self

    @property
    def freedom(self) -> str | None:
        """The field, if there is one, that no grammar goes with.

        Once a grammar is complete it admits the stop tokens alone, which these keep from ending.
        """
        if self.min_tokens:
            return "min_tokens"
        return "ignore_eos" if self.ignore_eos else None

    def sampling(self, room: int, choice: int, structural_tag: str | None = None) -> Sampling:
        """How to generate choice number `choice` with `room` tokens left in the context.

        More tokens than fit are not an error: agents ask for the model's maximum.
        """
        return self.sampling_with(
            max_tokens=min(self.max_tokens or room, room),
            choice=choice,
            top_logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            stop_ids=STOP_IDS,
            structural_tag=structural_tag,
        )

"""A Responses request: validation, and conversion to what the worker should generate.

Source: https://platform.openai.com/docs/api-reference/responses/create.
"""

from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from worker.api.dialect import Asked, Object
from worker.api.field_table import RequestKind
from worker.api.fields import Fields
from worker.api.responses.items import ItemField, as_items
from worker.api.responses.tools import ChoiceField, OfferedTools, ToolField
from worker.api.sampling import (
    Effort,
    GenerationFields,
    Limit,
    TokenIds,
    check_min_tokens,
    ordinary_tokens,
)
from worker.generation import NO_TOKEN_LIMIT
from worker.harmony.conversation import (
    AnswerForm,
    Conversation,
    Instruction,
    JsonAnswer,
    Message,
    Wanted,
)
from worker.harmony.vocabulary import STOP_IDS
from worker.turn import TurnOptions

LOGPROBS = "message.output_text.logprobs"


class ReasoningOptions(Fields):
    """`summary` and `generate_summary` have no effect: the reasoning itself is in the answer.

    `context`: of earlier turns gpt-oss keeps what it thought since its last answer, which is
    `current_turn`.
    """

    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed", "none"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: Literal["auto", "current_turn"] | None = None
    mode: Literal["standard"] | None = None


class TextFormat(Fields):
    """Free text, any JSON object, or JSON with a schema."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    json_schema: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None

    def model_post_init(self, _context: Any) -> None:
        if self.type == "json_schema" and (self.json_schema is None or not self.name):
            raise ValueError("must have name and schema if its type is json_schema")

    def answer(self) -> AnswerForm | None:
        match self.type:
            case "text":
                return None
            case "json_object":
                return JsonAnswer(None)
            case "json_schema":
                return JsonAnswer(
                    self.json_schema,
                    self.strict is True,
                    self.name or "",
                    self.description or "",
                    "text.format.schema",
                )

    def shown(self) -> Object:
        if self.type != "json_schema":
            return {"type": self.type}
        return {
            "type": self.type,
            "name": self.name,
            "description": self.description,
            "schema": self.json_schema,
            "strict": self.strict is True,
        }


class TextSettings(Fields):
    """`verbosity` has no effect: gpt-oss was not trained on it."""

    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class CacheOptions(Fields):
    """OpenAI's prompt cache; here every prompt is cached. `prewarm` would be a request without an
    answer."""

    prewarm: Literal[False] | None = None


MetadataKey = Annotated[str, Field(max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]


class ResponsesRequest(GenerationFields):
    """A Responses request. A missing field and null mean the same."""

    kind: ClassVar[RequestKind] = "responses"

    input: Annotated[
        list[ItemField], BeforeValidator(as_items, json_schema_input_type=str | list[ItemField])
    ]
    instructions: str | None = None
    tools: list[ToolField] | None = None
    tool_choice: ChoiceField | None = None
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningOptions | None = None
    text: TextSettings | None = None
    max_output_tokens: Limit | None = None
    stop_token_ids: Annotated[TokenIds, AfterValidator(ordinary_tokens)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    include: list[str] | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: CacheOptions | None = None
    max_tool_calls: int | None = None

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        check_min_tokens(self.min_tokens, self.max_output_tokens, "max_output_tokens")
        return self

    @cached_property
    def offered(self) -> OfferedTools:
        return OfferedTools(self.tools or ())

    @property
    def shows_logprobs(self) -> bool:
        return LOGPROBS in (self.include or ()) or bool(self.top_logprobs)

    def wanted(self) -> Wanted:
        """What is wanted of the next turn. Raises BadRequest for a tool that is not offered."""
        form = self.text.format if self.text else None
        return replace(
            self.offered.wanted(self.tool_choice),
            answer=form.answer() if form else None,
            effort=self.reasoning.effort if self.reasoning else None,
        )

    def instructed(self, messages: list[Message]) -> list[Message]:
        """`messages` after the request's own instructions."""
        return [Instruction(self.instructions), *messages] if self.instructions else messages

    def asked(self, messages: list[Message]) -> Asked:
        """What to generate after `messages`."""
        return Asked(
            model=self.model,
            prompts=[Conversation(messages, self.wanted())],
            prompt_field="input",
            sampling=self.to_sampling(
                max_tokens=self.max_output_tokens or NO_TOKEN_LIMIT,
                top_logprobs=(self.top_logprobs or 0) if self.shows_logprobs else None,
                stop_ids=STOP_IDS,
            ),
            options=TurnOptions(
                stop=self.stop or (),
                stop_ids=frozenset(self.stop_token_ids or ()),
                one_call=self.parallel_tool_calls is False,
                logprobs=self.shows_logprobs,
            ),
            streams=bool(self.stream),
        )

    def shown(self) -> Object:
        """The fields of the response object that repeat the request, with their defaults."""
        reasoning = self.reasoning or ReasoningOptions()
        text: Object = {"format": {"type": "text"}}
        if self.text and self.text.format:
            text["format"] = self.text.format.shown()
        if self.text and self.text.verbosity:
            text["verbosity"] = self.text.verbosity
        choice = self.tool_choice or "auto"
        limited = self.max_output_tokens not in (None, NO_TOKEN_LIMIT)
        return {
            "background": False,
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens if limited else None,
            "max_tool_calls": self.max_tool_calls,
            "metadata": self.metadata or {},
            "parallel_tool_calls": self.parallel_tool_calls is not False,
            "previous_response_id": self.previous_response_id,
            "prompt_cache_key": self.prompt_cache_key,
            "reasoning": {
                "effort": reasoning.effort,
                "summary": None if reasoning.summary == "none" else reasoning.summary,
                "context": "current_turn",
            },
            "safety_identifier": self.safety_identifier,
            "service_tier": "default",
            "temperature": 1.0 if self.temperature is None else self.temperature,
            "top_p": 1.0 if self.top_p is None else self.top_p,
            "text": text,
            "tool_choice": choice if isinstance(choice, str) else _without_nulls(choice),
            "tools": self.offered.shown(),
            "top_logprobs": self.top_logprobs or 0,
            "presence_penalty": self.presence_penalty or 0.0,
            "frequency_penalty": self.frequency_penalty or 0.0,
            "truncation": self.truncation or "disabled",
            "user": self.user,
        }


def _without_nulls(fields: Fields) -> Object:
    return fields.model_dump(exclude_none=True)

"""The head of a prompt: Harmony's system message and the developer message.

The developer message holds the instructions, the tools, and the form of the answer.

Both depend only on their own fields, not on the rest of the conversation, so they stay in the
prefix cache and are rendered only once. Tools are rendered as in Harmony: as a TypeScript
namespace. No parameter of a tool is ever hidden from the model, whatever form its schema has; a
malformed schema is shown as far as it can be read. Unpaired surrogates and NUL become U+FFFD.
Source: OpenAI's Harmony guide, and openai/harmony (`template_tools_section`); `openai_harmony`
renders the system message.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from sys import float_info

from openai_harmony import Message, ReasoningEffort, RenderOptions, Role, SystemContent

from worker.errors import BadRequest
from worker.harmony.conversation import AnswerForm, Json, JsonAnswer, Tool
from worker.harmony.encoded_text import Segment
from worker.harmony.rendering.json_schema import RefInliner
from worker.harmony.rendering.typescript import parameters, without_nul
from worker.harmony.vocabulary import END, MESSAGE, START, encoding
from worker.json_depth import MAX_DEPTH

EFFORTS = {
    "none": ReasoningEffort.LOW,
    "minimal": ReasoningEffort.LOW,
    "low": ReasoningEffort.LOW,
    "medium": ReasoningEffort.MEDIUM,
    "high": ReasoningEffort.HIGH,
    "xhigh": ReasoningEffort.HIGH,
    "max": ReasoningEffort.HIGH,
}
"""OpenAI's efforts mapped to gpt-oss's three levels; it always reasons."""


@lru_cache(maxsize=64)
def system(effort: str, tools: bool, date: str | None) -> tuple[int, ...]:
    """Harmony's standard system message: without it gpt-oss writes malformed headers.

    Raises BadRequest for an unknown `effort`.
    """
    if effort not in EFFORTS:
        raise BadRequest(
            f"reasoning_effort {effort!r} is not one of {', '.join(EFFORTS)}.",
            param="reasoning_effort",
        )
    content = SystemContent.new().with_reasoning_effort(EFFORTS[effort])
    if date:
        content = content.with_conversation_start_date(date)
    message = Message.from_role_and_content(Role.SYSTEM, content)
    options = RenderOptions(conversation_has_function_tools=tools)
    return tuple(encoding().render(message, options))


@dataclass(frozen=True)
class _Offered:
    """Tools as a cache key. Agents send the same tools every turn. Schemas are not hashable, so
    keys are compared by their JSON."""

    text: str
    tools: Sequence[Tool] = field(compare=False)

    @classmethod
    def of(cls, tools: Sequence[Tool]) -> "_Offered":
        shown = [(tool.name, tool.description, tool.parameters) for tool in tools]
        return cls(json.dumps(shown), tools)


def developer(
    instructions: str, tools: Sequence[Tool] = (), answer: AnswerForm | None = None
) -> Sequence[Segment]:
    """The developer message, or nothing if it would be empty. Raises BadRequest as `tools_section`
    does."""
    return _developer(instructions, _Offered.of(tools), _response_format(answer))


@lru_cache(maxsize=64)
def _developer(instructions: str, offered: _Offered, answer: str) -> Sequence[Segment]:
    texts = [f"# Instructions\n\n{instructions}"] if instructions else []
    if offered.tools:
        texts.append(tools_section(offered.tools))
    if answer:  # a segment of its own: the ids before it do not depend on it
        shown = ["\n\n".join(texts), f"\n\n{answer}"] if texts else [answer]
    else:
        shown = ["\n\n".join(texts)]
    return (START, "developer", MESSAGE, *shown, END) if any(shown) else ()


def _response_format(answer: AnswerForm | None) -> str:
    """The response format section, which shows the JSON schema to the model; empty if there is
    none."""
    if not isinstance(answer, JsonAnswer) or not answer.name:
        return ""
    comment = f"// {answer.description}\n" if answer.description else ""
    schema = json.dumps(answer.schema or {}, ensure_ascii=False, separators=(",", ":"))
    shown = without_nul(schema)
    return f"# Response Formats\n\n## {answer.name}\n\n{comment}{shown}".replace("\0", "\ufffd")


def tools_section(tools: Sequence[Tool]) -> str:
    """The developer message's section on the functions that the client offers.

    A function `get_weather` with one required string `city` gives

        # Tools

        ## functions

        namespace functions {

        // Its description.
        type get_weather = (_: {
        city: string,
        }) => any;

        } // namespace functions

    Raises BadRequest if a schema is nested too deeply, or contains a number that is not finite or
    does not fit a double.
    """
    inliner = RefInliner()
    lines = ["# Tools", "", "## functions", "", "namespace functions {", ""]
    for tool in tools:
        lines += _function(tool, inliner)
    return "\n".join([*lines, "} // namespace functions"]).replace("\0", "\ufffd")


def _function(tool: Tool, inliner: RefInliner) -> Iterator[str]:
    _check(tool.parameters)
    shown, descriptions = parameters(inliner.inline(tool.parameters))
    for description in (tool.description, *descriptions):
        yield from (f"// {line}" for line in _lines(description))
    taken = f"_: {shown}" if shown else ""
    yield f"type {tool.name} = ({taken}) => any;"
    yield ""


def _lines(text: str) -> list[str]:
    lines = re.split(r"\r?\n", text)
    return lines if lines[-1] else lines[:-1]


def _check(value: Json, level: int = 0) -> None:
    """Raises BadRequest if a schema is nested too deeply or contains an invalid number."""
    if level > MAX_DEPTH:
        raise BadRequest(
            f"tools: a schema must not be nested more than {MAX_DEPTH} levels deep.", param="tools"
        )
    if isinstance(value, dict):
        for item in value.values():
            _check(item, level + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, level + 1)
    elif isinstance(value, int | float) and not abs(value) <= float_info.max:
        raise BadRequest(
            "tools: a schema has a number that is not finite or does not fit a double.",
            param="tools",
        )

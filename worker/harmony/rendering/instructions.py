"""What stands before a conversation: Harmony's system message, and the developer's.

Rule: both are the same ids for the same fields, whatever the conversation is, so that they
stay in the prefix cache; and they are rendered once.
Source: OpenAI's Harmony guide; `openai_harmony` renders the system message.
"""

import json
from collections.abc import Sequence
from functools import lru_cache

from openai_harmony import Message, ReasoningEffort, RenderOptions, Role, SystemContent

from worker.errors import BadRequest
from worker.harmony.conversation import AnswerForm, JsonAnswer, Tool
from worker.harmony.rendering.tools import tools_section
from worker.harmony.rendering.typescript import without_nul
from worker.harmony.vocabulary import END, MESSAGE, START, encode, encoding

EFFORTS = {
    "none": ReasoningEffort.LOW,
    "minimal": ReasoningEffort.LOW,
    "low": ReasoningEffort.LOW,
    "medium": ReasoningEffort.MEDIUM,
    "high": ReasoningEffort.HIGH,
    "xhigh": ReasoningEffort.HIGH,
    "max": ReasoningEffort.HIGH,
}
"""OpenAI's efforts as gpt-oss knows them: it always reasons, on three levels."""


@lru_cache(maxsize=64)
def system(effort: str, tools: bool, date: str | None) -> tuple[int, ...]:
    """Harmony's standard system block: without it gpt-oss writes malformed headers."""
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


def developer(
    instructions: str, tools: Sequence[Tool] = (), answer: AnswerForm | None = None
) -> tuple[int, ...]:
    """The developer message; nothing if there is nothing to say."""
    return _developer(instructions, _as_json(tools), _told(answer))


def _as_json(tools: Sequence[Tool]) -> str:
    """Tools as a key: an agent sends the same ones every turn, and schemas cannot be hashed."""
    return json.dumps([(tool.name, tool.description, tool.parameters) for tool in tools])


@lru_cache(maxsize=64)
def _developer(instructions: str, tools: str, answer: str) -> tuple[int, ...]:
    texts = [f"# Instructions\n\n{instructions}"] if instructions else []
    if shown := [Tool(*each) for each in json.loads(tools)]:
        texts.append(tools_section(shown))
    ids = encode("\n\n".join(texts))
    if answer:
        ids += encode(f"\n\n{answer}" if texts else answer)
    return (START, *encode("developer"), MESSAGE, *ids, END) if ids else ()


def _told(answer: AnswerForm | None) -> str:
    """How Harmony tells the model of the JSON that its answer must be; empty if it need not be."""
    if not isinstance(answer, JsonAnswer) or not answer.name:
        return ""
    comment = f"// {answer.description}\n" if answer.description else ""
    schema = json.dumps(answer.schema or {}, ensure_ascii=False, separators=(",", ":"))
    shown = without_nul(schema)
    return f"# Response Formats\n\n## {answer.name}\n\n{comment}{shown}".replace("\0", "\ufffd")

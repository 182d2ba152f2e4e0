"""What stands before a conversation: Harmony's system message, and the developer's.

Rule: both are the same ids for the same request fields, whatever the conversation is, so that they
stay in the prefix cache; and they are rendered once.
Source: OpenAI's Harmony guide; `openai_harmony` renders the system message.
"""

import json
from functools import lru_cache
from typing import Any

from openai_harmony import Message, ReasoningEffort, RenderOptions, Role, SystemContent

from worker.errors import BadRequest
from worker.harmony.tools import tools_section
from worker.harmony.typescript import without_nul
from worker.harmony.vocabulary import END, MESSAGE, START, encode, encoding

Json = Any  # A JSON value of the request, validated by worker.api before it comes here.

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


def answer_format(response_format: Json) -> str:
    """How Harmony tells the model of the JSON that its answer must be; empty if it need not be."""
    if not response_format or response_format.get("type") != "json_schema":
        return ""
    wanted = response_format["json_schema"]
    description = wanted.get("description")
    comment = f"// {description}\n" if description else ""
    schema = json.dumps(wanted.get("schema") or {}, ensure_ascii=False, separators=(",", ":"))
    shown = without_nul(schema)
    return f"# Response Formats\n\n## {wanted['name']}\n\n{comment}{shown}".replace("\0", "\ufffd")


@lru_cache(maxsize=64)
def developer(instructions: str, tools: str = "[]", answer_format: str = "") -> tuple[int, ...]:
    """The developer message; `tools` as JSON, since an agent sends the same ones every turn."""
    texts = [f"# Instructions\n\n{instructions}"] if instructions else []
    if described := json.loads(tools):
        texts.append(tools_section(described))
    ids = encode("\n\n".join(texts))
    if answer_format:
        ids += encode(f"\n\n{answer_format}" if texts else answer_format)
    return (START, *encode("developer"), MESSAGE, *ids, END) if ids else ()

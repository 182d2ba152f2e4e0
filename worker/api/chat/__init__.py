"""OpenAI's chat completions: `POST /v1/chat/completions`.

`request` validates, `messages` and `constraints` convert the request to API-independent types, and
`answer` formats the model's output.
Source: https://platform.openai.com/docs/api-reference/chat.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from worker.api import chunks, openai
from worker.api.chat.answer import MessageFold, delta_of
from worker.api.chat.request import ChatRequest
from worker.api.dialect import Dialect, Host, Json, RawRequest
from worker.api.fields import read
from worker.api.sse import server_sent_event
from worker.harmony import Parser, grammar_of, render

DIALECT = Dialect(
    error=openai.error,
    event=server_sent_event,
    end=openai.END,
    combine=chunks.combine,
    smaller=chunks.split,
)


async def read_request(raw: RawRequest, _host: Host) -> ChatRequest:
    """Raises BadRequest."""
    return read(ChatRequest, raw.body)


_NO_MATTER = [{"role": "user", "content": ""}]


def render_prompt(request: Json) -> list[int]:
    """The prompt of a chat completion request (a dict), as token ids. Raises BadRequest."""
    return render(read(ChatRequest, request).conversation())


def structural_tag(request: Json, *, headers: bool = False) -> str | None:
    """The grammar of a chat completion request, as xgrammar's structural tag JSON, or None if it
    needs none. `headers`: also constrain headers if the request only offers tools. `messages` may
    be missing, as it does not affect the grammar. Raises BadRequest.
    """
    wanted = read(ChatRequest, {"messages": _NO_MATTER, **request}).conversation().wanted
    grammar = grammar_of(wanted, headers=headers)
    return None if grammar is None else grammar.tag


def message_from_tokens(
    ids: Sequence[int], tools: Sequence[Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """The assistant message of a whole completion's token ids."""
    parser = Parser(tools)
    fold = MessageFold()
    fold.add(delta_of([*parser.feed(ids), *parser.finish()]))
    return fold.message()

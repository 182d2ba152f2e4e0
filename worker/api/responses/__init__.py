"""OpenAI's Responses API: `POST /v1/responses`, and what was stored of it.

`request` validates, `items` and `tools` convert the request to API-independent types, `answer` and
`output` format the model's output as events, and `stored` continues and looks up stored responses.
Reasoning travels both as text and as a capsule of its exact token IDs (`encrypted_content`), so the
next turn needs no store.
Source: https://platform.openai.com/docs/api-reference/responses, and https://openresponses.org.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import orjson

from worker.api import openai
from worker.api.dialect import (
    Asked,
    Dialect,
    Head,
    Host,
    Json,
    Object,
    RawRequest,
    ResponseStore,
)
from worker.api.fields import read
from worker.api.responses.answer import ResponsesAnswer, ResponsesFold
from worker.api.responses.items import ItemReference, ResolvedItem, messages
from worker.api.responses.repetition import smaller
from worker.api.responses.request import ResponsesRequest
from worker.api.responses.stored import History, deleted, history, input_items, record_of, retrieved
from worker.api.sse import server_sent_event
from worker.errors import BadRequest
from worker.harmony import render
from worker.harmony.capsule import Capsules
from worker.harmony.conversation import Conversation, Message

__all__ = [
    "DIALECT",
    "count_tokens",
    "deleted",
    "input_items",
    "not_offered",
    "read_request",
    "render_prompt",
    "retrieved",
]


def _event(item: Object) -> str:
    """Formats an object as one server-sent event, named by its type; a request that failed before
    its response began has an error object without one."""
    return server_sent_event(item, item.get("type", "error"))


DIALECT = Dialect(error=openai.error, event=_event, end=openai.END, smaller=smaller)


@dataclass(frozen=True, slots=True)
class ReadResponsesRequest:
    """A request with all the items that it continues, as a conversation."""

    fields: ResponsesRequest
    found: History
    messages: list[Message]
    host: Host
    owner: str

    def asked(self) -> Asked:
        return self.fields.asked(self.messages)

    def answer(self, head: Head) -> ResponsesAnswer:
        stores = self.fields.store is not False and self.host.responses.is_on
        keep = partial(_keep, self.host.responses, self.owner, self.found.items) if stores else None
        return ResponsesAnswer(head, self.fields, self.host.capsules, keep)

    def fold(self) -> ResponsesFold:
        return ResponsesFold()


async def _keep(
    store: ResponseStore, owner: str, items: Sequence[ResolvedItem], response: Object
) -> bool:
    return await store.put(response["id"], owner, record_of(response, items))


async def read_request(raw: RawRequest, host: Host) -> ReadResponsesRequest:
    """Raises BadRequest, also for a response or an item that is not stored."""
    request = read(ResponsesRequest, _well_formed(raw.body))
    found = await history(request, host, raw.owner)
    said = _messages(request, found, host.capsules)
    return ReadResponsesRequest(request, found, said, host, raw.owner)


def _well_formed(body: Json) -> Json:
    """`body` with U+FFFD for unpaired surrogates, which JavaScript clients send where they cut a
    text: the response repeats fields of the request and is stored, and no UTF-8 can hold them."""
    try:
        orjson.dumps(body)
    except TypeError:
        text = json.dumps(body, ensure_ascii=False).encode("utf-16", "surrogatepass")
        return json.loads(text.decode("utf-16", "replace"))
    return body


def _messages(request: ResponsesRequest, found: History, capsules: Capsules) -> list[Message]:
    """The conversation; `instructions`, which a later response does not inherit, come first."""
    return request.instructed(messages(found.items, request.offered, capsules, before=found.before))


async def count_tokens(raw: RawRequest, host: Host) -> Object:
    """`POST /v1/responses/input_tokens`: the tokens of the prompt that the request would have.
    Raises BadRequest."""
    request = await read_request(raw, host)
    conversation = Conversation(request.messages, request.fields.wanted())
    return {"object": "response.input_tokens", "input_tokens": await host.count(conversation)}


def render_prompt(request: Json) -> list[int]:
    """The prompt of a Responses request (a dict) that refers to nothing stored, as token IDs.
    Raises BadRequest."""
    fields = read(ResponsesRequest, request)
    items = [item for item in fields.input if not isinstance(item, ItemReference)]
    said = _messages(fields, History(items, 0), Capsules())
    return render(Conversation(said, fields.wanted()))


def not_offered(message: str) -> Callable[[], BadRequest]:
    """The error of a route that OpenAI has and this worker does not, made anew each time."""
    return lambda: BadRequest(message, code="unsupported_route")

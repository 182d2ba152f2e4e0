"""Anthropic's Messages API: `POST /v1/messages` and `POST /v1/messages/count_tokens`.

`request` validates a request; `messages`, `blocks` and `tools` convert it to a conversation;
`answer` converts the model's output to events, and folds them to the whole message; `wire` formats
errors and events.
Source: https://docs.anthropic.com/en/api/messages, and the `anthropic` package's types.
"""

from worker.api import models
from worker.api.anthropic import wire
from worker.api.anthropic.request import AskedMessage, CountRequest, MessagesRequest
from worker.api.dialect import Dialect, Host, Json, Object, RawRequest
from worker.api.fields import read
from worker.harmony import render
from worker.harmony.capsule import Capsules

PATH = "/v1/messages"
"""Errors on this path and all paths below it have this API's format."""

DIALECT = Dialect(
    error=wire.error,
    event=wire.event,
    smaller=wire.split,
    status=wire.status,
    identified=wire.identified,
    id_header=wire.ID_HEADER,
)


async def read_request(raw: RawRequest, host: Host) -> AskedMessage:
    """Raises BadRequest."""
    return AskedMessage(read(MessagesRequest, raw.body), host.capsules)


async def count(raw: RawRequest, host: Host) -> Object:
    """The number of tokens in a message's prompt. Raises BadRequest, also for an unknown model."""
    request = read(CountRequest, raw.body)
    models.check(request.model, host.models)
    return {"input_tokens": await host.count(request.conversation(host.capsules))}


def render_prompt(request: Json) -> list[int]:
    """The prompt of a request for a message (a dict), as token IDs. Raises BadRequest."""
    return render(read(CountRequest, request).conversation(Capsules()))

"""The served models: `GET /v1/models` and `/v1/models/{name}`, and the model check for requests.

One path serves two APIs, so the list and its entries have the fields of both.
Source: https://platform.openai.com/docs/api-reference/models, with vLLM's `max_model_len`, and
https://docs.anthropic.com/en/api/models-list.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from worker.api.dialect import Host, Object, RawRequest
from worker.errors import NotFound


async def listed(_raw: RawRequest, host: Host) -> Object:
    """All the served names."""
    return {
        "object": "list",
        "data": [_model(name, host) for name in host.models],
        "has_more": False,
        "first_id": host.models[0],
        "last_id": host.models[-1],
    }


async def named(raw: RawRequest, host: Host) -> Object:
    """The model of that name. Raises NotFound."""
    return _model(check(raw.params["name"], host.models), host)


def _model(name: str, host: Host) -> Object:
    """One entry of the list; `created` in seconds since the epoch, the length in tokens."""
    return {
        "id": name,
        "object": "model",
        "created": host.created,
        "owned_by": "openai",
        "max_model_len": host.context_length,
        "type": "model",
        "display_name": name,
        "created_at": datetime.fromtimestamp(host.created, UTC).isoformat(),
        "lifecycle": "active",
        "max_input_tokens": host.context_length,
    }


def check(name: str | None, served: Sequence[str]) -> str:
    """Returns `name`, or the first served name if it is None. Raises NotFound."""
    if name is None:
        return served[0]
    if name in served:
        return name
    raise NotFound(
        f"The model {name!r} does not exist. Available models: {', '.join(served)}.",
        param="model",
        code="model_not_found",
    )

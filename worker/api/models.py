"""The served models: `GET /v1/models` and `/v1/models/{name}`, and which one a request means.

Source: https://platform.openai.com/docs/api-reference/models, with vLLM's `max_model_len`.
"""

from collections.abc import Sequence

from worker.api.dialect import Call, Host, Object
from worker.errors import NotFound


async def listed(_call: Call, host: Host) -> Object:
    """All the served names."""
    return {"object": "list", "data": [_model(name, host) for name in host.models]}


async def named(call: Call, host: Host) -> Object:
    """The model of that name. Raises NotFound."""
    return _model(check(call.params["name"], host.models), host)


def _model(name: str, host: Host) -> Object:
    """One entry of the list; `created` in seconds since the epoch, the length in tokens."""
    return {
        "id": name,
        "object": "model",
        "created": host.created,
        "owned_by": "openai",
        "max_model_len": host.context_length,
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

"""The served models, as OpenAI lists them, and which of them a request asks for.

Source: https://platform.openai.com/docs/api-reference/models, with vLLM's `max_model_len`.
"""

from collections.abc import Sequence
from typing import Any

from worker.errors import NotFound


def model_object(name: str, *, created: int, max_model_len: int) -> dict[str, Any]:
    """One entry of the list; `created` in seconds since the epoch, the length in tokens."""
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "openai",
        "max_model_len": max_model_len,
    }


def check(name: str | None, served: Sequence[str]) -> str:
    """The served name that `name` asks for (the first where it asks for none), or NotFound."""
    if name is None:
        return served[0]
    if name in served:
        return name
    raise NotFound(
        f"The model {name!r} does not exist here; served: {', '.join(served)}.",
        param="model",
        code="model_not_found",
    )

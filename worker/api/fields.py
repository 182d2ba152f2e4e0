"""What every request has in common: reading a JSON object into a model, with errors for a client.

Rule: an error names the field, what it takes and what it got. A field that this API does not know
is refused if it would change the answer's meaning, and otherwise ignored and named in a warning.
"""

import logging
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from worker.errors import BadRequest

log = logging.getLogger(__name__)

HARMLESS = frozenset(
    {
        "metadata",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)
"""OpenAI's fields that say something of the caller, not of the answer."""

MEANINGFUL = frozenset(
    {
        "add_generation_prompt",
        "audio",
        "best_of",
        "chat_template",
        "chat_template_kwargs",
        "continue_final_message",
        "custom_logit_processor",
        "custom_params",
        "ebnf",
        "echo",
        "function_call",
        "functions",
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "ignore_eos",
        "json_schema",
        "length_penalty",
        "lora_path",
        "min_tokens",
        "modalities",
        "moderation",
        "prediction",
        "regex",
        "separate_reasoning",
        "session_params",
        "skip_special_tokens",
        "stop_regex",
        "stop_token_ids",
        "structural_tag",
        "suffix",
        "use_beam_search",
        "verbosity",
        "web_search_options",
    }
)
"""Fields of OpenAI or of the peers that would change the answer, and that this API lacks."""

_DEFAULTS: dict[str, Any] = {"modalities": ["text"], "verbosity": "medium", "ignore_eos": False}
"""Values that ask for what happens anyway."""


class Fields(BaseModel):
    """A part of a request. Strict: "1" is no number; unknown fields are looked at apart."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


M = TypeVar("M", bound=Fields)


def read(model: type[M], body: object) -> M:
    """`body` as a `model`. Raises BadRequest that names the first field at fault."""
    if not isinstance(body, Mapping):
        raise BadRequest(f"The request must be a JSON object, not {json_type(body)}.")
    _check_unknown(model, body)
    try:
        return model.model_validate(body)
    except ValidationError as error:
        problem = error.errors()[0]
        path = _path(problem["loc"])
        message = problem["msg"].removeprefix("Value error, ").rstrip(".")
        if not path:  # the fields do not agree with each other
            raise BadRequest(f"{message}.") from None
        got = "" if problem["type"] == "missing" else f", got {json_type(problem['input'])}"
        raise BadRequest(f"{path}: {message}{got}.", param=path) from None


def _check_unknown(model: type[Fields], body: Mapping[str, Any]) -> None:
    for name in body.keys() - model.model_fields.keys() - HARMLESS:
        value = body[name]
        if name not in MEANINGFUL:
            log.warning("ignored an unknown field of a request: %.80r", name)
        elif value is not None and value != _DEFAULTS.get(name):
            raise BadRequest(f"{name} is not supported.", param=name, code="unsupported_parameter")


def _path(location: tuple[str | int, ...]) -> str:
    """A pydantic location as OpenAI writes it: `messages[0].content`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")


def json_type(value: object) -> str:
    """JSON's name for the type of a value, with an article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list() | tuple():
            return "an array"
        case _:
            return "an object"

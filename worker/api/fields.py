"""Parses a JSON object into a request model, with error messages for clients.

Rule: an error names the field as the client wrote it, what it accepts and what it got.
worker.api.field_table defines which fields exist, and how fields that are not in a model are
handled.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from worker.api import field_table
from worker.api.field_table import describe
from worker.errors import BadRequest

TOOL_NAME = r"^[a-zA-Z0-9_.\-]{1,128}$"
"""Names of tools: OpenAI's characters, and the dots of namespaced tools."""
MAX_QUOTED_LENGTH = 60
"""In characters. Errors do not quote longer values, which may contain a secret."""

_MUST_BE = {
    "dict_type": "an object",
    "model_type": "an object",
    "list_type": "an array",
    "string_type": "a string",
    "float_type": "a number",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "bool_type": "a boolean",
}
"""Pydantic's types of errors for a value of the wrong type, and the right JSON type."""


class Fields(BaseModel):
    """A part of a request. Strict: "1" is not a number. Unknown fields are handled elsewhere."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class RequestFields(Fields):
    """A complete request of one kind."""

    kind: ClassVar[field_table.RequestKind]


def parsed_as(model_of: Callable[[Any], type[Fields]]) -> BeforeValidator:
    """A validator for a union of models: parses a JSON value as the model that `model_of` names.

    Pydantic would try them all, and name them in the error's path; so its errors are the model's
    own. `model_of` raises ValueError for a value that is none of them.
    """
    return BeforeValidator(lambda value: model_of(value).model_validate(value))


M = TypeVar("M", bound=RequestFields)


def read(model: type[M], body: object) -> M:
    """Parses `body` as a `model`. Raises BadRequest, which names the first invalid field."""
    if not isinstance(body, Mapping):
        raise BadRequest(f"The request body must be a JSON object, not {json_type(body)}.")
    resolved = field_table.resolve(model.kind, body)
    try:
        return model.model_validate(resolved.fields)
    except ValidationError as error:
        problem = error.errors()[0]
        path = _path(problem["loc"], resolved.names)
        message = _message(problem)
        if not path:  # a conflict between fields
            raise BadRequest(f"{message}.") from None
        got = "" if problem["type"] == "missing" else f", got {_quoted(problem['input'])}"
        raise BadRequest(f"{describe(path, message)}{got}.", param=path) from None


def _message(problem: ErrorDetails) -> str:
    """A pydantic error in this API's style: `must be an array`, or the text of our own ValueError.

    Bounds, lengths and patterns are in pydantic's words (`Input should be less than 1`).
    """
    if (must_be := _MUST_BE.get(problem["type"])) is not None:
        return f"must be {must_be}"
    match problem:
        case {"type": "missing"}:
            return "is required"
        case {"type": "value_error", "ctx": {"error": ValueError() as error}}:
            return str(error).rstrip(".")
        case _:
            text = problem["msg"].rstrip(".").replace(" after validation", "")
            return re.sub(r"^[A-Z]\w+ should ", "must ", text)


def _path(location: tuple[str | int, ...], names: Mapping[str, str]) -> str:
    """Formats a pydantic location like OpenAI does: `messages[0].content`.

    It begins with the name that the client used for the field.
    """
    path = ""
    first, rest = location[:1], location[1:]
    for part in (*(names.get(str(name), name) for name in first), *rest):
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")


def _quoted(value: object) -> str:
    """A value for an error message: short scalars as JSON, everything else as its type."""
    if isinstance(value, str | int | float) and len(text := json.dumps(value)) <= MAX_QUOTED_LENGTH:
        return text
    return json_type(value)


def json_type(value: object) -> str:
    """The name of a value's JSON type, with an article."""
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

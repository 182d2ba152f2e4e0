"""What every request has in common: reading a JSON object into a model, with errors for a client.

Rule: an error names the field as the client did, what it takes and what it got. Which fields there
are, and what becomes of those that a model does not have, stands in worker.api.field_table.
"""

import json
from collections.abc import Mapping
from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from worker.api import field_table
from worker.errors import BadRequest

LONGEST_QUOTED = 60
"""Characters of a value that an error quotes: a longer one, which may hold a secret, is not."""


class Fields(BaseModel):
    """A part of a request. Strict: "1" is no number; unknown fields are looked at apart."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class RequestFields(Fields):
    """A whole request to one route."""

    route: ClassVar[field_table.Route]


M = TypeVar("M", bound=RequestFields)


def read(model: type[M], body: object) -> M:
    """`body` as a `model`. Raises BadRequest that names the first field at fault."""
    if not isinstance(body, Mapping):
        raise BadRequest(f"The request must be a JSON object, not {json_type(body)}.")
    meant = field_table.meant(model.route, body)
    try:
        return model.model_validate(meant.fields)
    except ValidationError as error:
        problem = error.errors()[0]
        path = _path(problem["loc"], meant.names)
        message = problem["msg"].removeprefix("Value error, ").rstrip(".")
        if not path:  # the fields do not agree with each other
            raise BadRequest(f"{message}.") from None
        got = "" if problem["type"] == "missing" else f", got {_shown(problem['input'])}"
        raise BadRequest(f"{path}: {message}{got}.", param=path) from None


def _path(location: tuple[str | int, ...], names: Mapping[str, str]) -> str:
    """A pydantic location as OpenAI writes it: `messages[0].content`.

    It begins with the name that the client gave the field by.
    """
    path = ""
    first, rest = location[:1], location[1:]
    for part in (*(names.get(str(name), name) for name in first), *rest):
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")


def _shown(value: object) -> str:
    """A value as an error quotes it: a short one as it is, another by its type."""
    if isinstance(value, str | int | float) and len(text := json.dumps(value)) <= LONGEST_QUOTED:
        return text
    return json_type(value)


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

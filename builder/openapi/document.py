"""Builds the document: its metadata, its routes, and the schemas that they refer to.

Source: https://spec.openapis.org/oas/v3.1.0.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from builder.openapi.answers import ANSWERS
from builder.openapi.paths import HEADERS, REFERENCE, Json, errors, paths
from builder.openapi.response_objects import RESPONSE_OBJECTS
from worker.api.anthropic.request import CountRequest, MessagesRequest
from worker.api.chat.request import ChatRequest
from worker.api.completions.request import CompletionRequest
from worker.api.field_table import FIELDS, Alias, NoEffect, Rejected, Unwrapped, Use
from worker.api.responses.request import ResponsesRequest

ROOT = Path(__file__).parent.parent.parent
PLACE = ROOT / "worker" / "entrypoints" / "http" / "openapi.json"
_REQUESTS = (ChatRequest, CompletionRequest, ResponsesRequest, MessagesRequest, CountRequest)


def text() -> str:
    """The document as text, as it is in the file."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def document() -> Json:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": project["name"],
            "version": project["version"],
            "description": project["description"],
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {"keyOfMessages": []}],
        "paths": paths(),
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "One of the keys in API_KEY; not required if API_KEY is unset.",
                },
                "keyOfMessages": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": "The same key, as clients of Anthropic's API send it.",
                },
            },
            "headers": HEADERS,
            "responses": errors(),
            "schemas": schemas(),
        },
    }


_Input = tuple[Any, JsonSchemaMode, TypeAdapter[Any]]
"""A model, its mode (validation: requests; serialization: responses), and its adapter."""


class _Plain(GenerateJsonSchema):
    """Without titles, which only repeat the field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def schemas() -> Json:
    """The schemas of all requests and responses, by name."""
    requests: list[_Input] = [(m, "validation", TypeAdapter(m)) for m in _REQUESTS]
    answers: list[_Input] = [
        (m, "serialization", TypeAdapter(m)) for m in (*ANSWERS, *RESPONSE_OBJECTS)
    ]
    template = REFERENCE.format("schemas", "{model}")
    _, shared = TypeAdapter.json_schemas(
        [*requests, *answers], ref_template=template, schema_generator=_Plain
    )
    found = shared["$defs"]
    for model in _REQUESTS:
        properties = found[model.__name__]["properties"]
        for name, use in FIELDS[model.kind].items():
            if (described := _described(use, properties)) is not None:
                properties[name] = described
    return dict(sorted(found.items()))


def _described(use: Use, properties: Json) -> Json | None:
    """The schema of a field that is in the field table but not in the request's model."""
    match use:
        case Alias(of, convert):
            same = properties[of] if convert is None else {}
            return {**same, "description": f"Alias of {of}."}
        case Unwrapped():
            description = "Its fields are merged into the request."
            return {"type": ["object", "null"], "description": description}
        case NoEffect():
            return {"description": "Accepted and ignored."}
        case Rejected(accepted):
            return {"enum": [None, *accepted], "description": "Any other value is rejected."}
        case _:
            return None

"""Checks a response against docs/openapi.json: its status, headers and body."""

import json
import re
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from builder.openapi.document import PLACE

DOCUMENT: dict[str, Any] = json.loads(PLACE.read_text())


def check_answer(path: str, response: httpx.Response) -> None:
    """Raises unless this response conforms to the operation at the document's `path`."""
    described = _described(path, response)
    for name, header in described["headers"].items():
        if (value := response.headers.get(name)) is not None:
            check(_resolved(header)["schema"], value)
    content = described.get("content")
    if content is None:
        assert response.content == b""
        return
    kind = response.headers["content-type"].partition(";")[0]
    if kind == "text/event-stream":
        check_events(content[kind]["x-event"], response.text)
    else:
        check(content[kind]["schema"], response.json() if kind.endswith("json") else response.text)


def check_events(schema: dict[str, Any], text: str) -> None:
    """Raises unless every event conforms to `schema` and the last is [DONE] or an error."""
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    data = [re.fullmatch("data: (.*)", block) for block in blocks]
    lines = [match[1] for match in data if match]
    assert len(lines) == len(blocks)
    chunks = [json.loads(line) for line in lines if line != "[DONE]"]
    for chunk in chunks:
        check(schema, chunk)
    assert lines[-1] == "[DONE]" or "error" in chunks[-1]


def check(schema: dict[str, Any], value: Any) -> None:
    """Raises unless `value` conforms to `schema`, a part of the document."""
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def _described(path: str, response: httpx.Response) -> dict[str, Any]:
    operation = DOCUMENT["paths"][path].get(response.request.method.lower(), {})
    return _resolved(operation.get("responses", {})[str(response.status_code)])


def _resolved(part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    _, *names = part["$ref"].split("/")
    found = DOCUMENT
    for name in names:
        found = found[name]
    return found

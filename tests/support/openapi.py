"""Checks a response against the API's OpenAPI document: its status, headers and body."""

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
    """Raises unless every event conforms to `schema` and the last is the API's end or an error."""
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    matches = [re.fullmatch("(?:event: (.*)\n)?data: (.*)", block) for block in blocks]
    events = [(match[1], match[2]) for match in matches if match]
    assert len(events) == len(blocks)
    chunks = [json.loads(data) for _, data in events if data != "[DONE]"]
    for chunk, (name, _) in zip(chunks, events, strict=False):
        check(schema, chunk)
        assert name is None or name == chunk["type"]
    ended = events[-1][1] == "[DONE]" or events[-1][0] == "message_stop"
    assert ended or "error" in chunks[-1]


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

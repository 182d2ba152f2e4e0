"""Stored responses: continuing one, looking one up, deleting one.

A record is a response with all the items that came before its output, those of earlier responses
included, so that a conversation is read at once. An item's ID has its response's in it
(`rs_<32 hex digits><2 more>`), so a reference to an item needs no index.
Source: https://platform.openai.com/docs/api-reference/responses/get.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from pydantic import TypeAdapter

from worker.api.dialect import Host, Object, RawRequest, ResponseStore
from worker.api.responses.items import (
    Item,
    ItemField,
    ItemReference,
    ResolvedItem,
    SearchCallItem,
)
from worker.api.responses.request import ResponsesRequest
from worker.errors import BadRequest, NotFound

_ITEMS: TypeAdapter[list[Item]] = TypeAdapter(list[ItemField])
_ITEM_ID = re.compile(r"[a-z]+_([0-9a-f]{32})\w+")
_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "function_call_output": "fco",
    "custom_tool_call_output": "ctco",
}
_DEFAULT_LIMIT = 20
T = TypeVar("T")


class History(NamedTuple):
    """All items that a request continues; the first `before` are those of earlier responses."""

    items: Sequence[ResolvedItem]
    before: int


async def history(request: ResponsesRequest, host: Host, owner: str) -> History:
    """The items of a request with what it refers to. Raises BadRequest for what is not stored."""
    earlier: list[ResolvedItem] = []
    if (previous := request.previous_response_id) is not None:
        record = await host.responses.get(previous, owner)
        if record is None:
            raise BadRequest(
                f"Previous response with id '{previous[:80]}' not found. {host.responses.advice}",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        earlier = _resolved([*record["input"], *record["response"]["output"]])
    records: dict[str, Object | None] = {}
    own: list[ResolvedItem] = []
    for index, item in enumerate(request.input):
        if isinstance(item, ItemReference):
            own.append(await _referred(item, index, records, host.responses, owner))
        else:
            own.append(item)
    return History([*earlier, *own], len(earlier))


def _resolved(stored: Sequence[Object]) -> list[ResolvedItem]:
    items = _ITEMS.validate_python(list(stored))
    return [item for item in items if not isinstance(item, ItemReference)]


async def _referred(
    reference: ItemReference,
    index: int,
    records: dict[str, Object | None],
    store: ResponseStore,
    owner: str,
) -> ResolvedItem:
    """The item that a reference names; `records` are those that were read for this request."""
    if found := _ITEM_ID.fullmatch(reference.id):
        response_id = f"resp_{found[1]}"
        if response_id not in records:
            records[response_id] = await store.get(response_id, owner)
        record = records[response_id]
        for item in (*record["response"]["output"], *record["input"]) if record else ():
            if item["id"] == reference.id:
                return _resolved([item])[0]
    raise NotFound(
        f"Item with id '{reference.id[:80]}' not found. Items are not persisted when `store` is "
        "set to false. Try again with `store` set to true, or remove this item from your input. "
        f"{store.advice}",
        param=f"input[{index}].id",
    )


def record_of(response: Object, items: Sequence[ResolvedItem]) -> Object:
    """What is stored of a response to `items`. Those without an ID get one."""
    hexadecimal = response["id"].removeprefix("resp_")
    kept = [
        item.stored(f"{_PREFIXES[item.type]}_{hexadecimal}i{index:02x}")
        for index, item in enumerate(items)
        if not isinstance(item, SearchCallItem)
    ]
    return {"response": response, "input": kept}


async def retrieved(raw: RawRequest, host: Host) -> Object:
    """`GET /v1/responses/{id}`. Raises NotFound."""
    if raw.params.get("stream", "false") != "false":
        raise BadRequest(
            "stream is not supported for a stored response; omit it or send false.", param="stream"
        )
    return (await _record(raw, host))["response"]


async def deleted(raw: RawRequest, host: Host) -> Object:
    """`DELETE /v1/responses/{id}`. Raises NotFound."""
    response_id = raw.params["id"]
    if not await host.responses.delete(response_id, raw.owner):
        raise _not_found(response_id, host.responses)
    return {"id": response_id, "object": "response", "deleted": True}


async def input_items(raw: RawRequest, host: Host) -> Object:
    """`GET /v1/responses/{id}/input_items`, the latest first unless `order` is asc. Raises
    BadRequest."""
    order = _one_of(raw.params, "order", ("desc", "asc"))
    limit = _limit(raw.params.get("limit", str(_DEFAULT_LIMIT)))
    items: list[Object] = (await _record(raw, host))["input"]
    items = items if order == "asc" else [*reversed(items)]
    if (after := raw.params.get("after")) is not None:
        ids = [item["id"] for item in items]
        if after not in ids:
            raise NotFound(f"after: there is no input item {after[:80]!r}.", param="after")
        items = items[ids.index(after) + 1 :]
    page = items[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(items) > limit,
    }


def _one_of(params: Mapping[str, str], name: str, values: Sequence[str]) -> str:
    value = params.get(name, values[0])
    if value not in values:
        raise BadRequest(f"{name} must be {' or '.join(values)}, not {value[:40]!r}.", param=name)
    return value


def _limit(value: str) -> int:
    if not (value.isascii() and value.isdigit() and 1 <= int(value[:4]) <= 100):
        raise BadRequest(f"limit must be from 1 to 100, not {value[:40]!r}.", param="limit")
    return int(value)


async def _record(raw: RawRequest, host: Host) -> Object:
    response_id = raw.params["id"]
    record = await host.responses.get(response_id, raw.owner)
    if record is None:
        raise _not_found(response_id, host.responses)
    return record


def _not_found(response_id: str, store: ResponseStore) -> NotFound:
    return NotFound(
        f"Response with id '{response_id[:80]}' not found. {store.advice}",
        param="response_id",
        code="response_not_found",
    )

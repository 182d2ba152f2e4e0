"""Makes an event smaller that does not fit into one delivery of RunPod's queue.

Only deltas say anything for the first time. Every event that ends something repeats what they said,
and a response repeats the request and its whole output so far. So an event that is too large leaves
out, one after the other, as far as it has to:

1. log probabilities, which the deltas had;
2. the instructions and tools of the request, which the client sent;
3. the text of reasoning, whose exact tokens are in `encrypted_content`: clients accept reasoning
   without its text, since OpenAI's own never shows it;
4. the output of a response that failed.

The texts of messages and the arguments of calls stay, because clients read them here: Codex from
`response.output_item.done`, the Agents SDK from `response.completed`.
"""

from collections.abc import Callable

from worker.api.dialect import Object


def smaller(event: Object) -> tuple[Object] | None:
    """The event with less of what others say, or None if there is nothing to leave out."""
    for leave_out in (_logprobs, _request, _reasoning, _failed_output):
        less = leave_out(event)
        if less != event:
            return (less,)
    return None


def _logprobs(event: Object) -> Object:
    match event:
        case {"type": "response.output_text.delta"}:
            return event
        case {"logprobs": _}:
            return {**event, "logprobs": []}
        case {"part": {"logprobs": _} as part}:
            return {**event, "part": {**part, "logprobs": []}}
        case _:
            return _with_items(event, _item_without_logprobs)


def _item_without_logprobs(item: Object) -> Object:
    if item["type"] != "message":
        return item
    return {**item, "content": [{**part, "logprobs": []} for part in item["content"]]}


def _request(event: Object) -> Object:
    if "response" not in event:
        return event
    return {**event, "response": {**event["response"], "instructions": None, "tools": []}}


def _reasoning(event: Object) -> Object:
    return _with_items(event, _item_without_text)


def _item_without_text(item: Object) -> Object:
    return {**item, "content": []} if item.get("encrypted_content") else item


def _failed_output(event: Object) -> Object:
    if event.get("type") != "response.failed":
        return event
    return {**event, "response": {**event["response"], "output": []}}


def _with_items(event: Object, change: Callable[[Object], Object]) -> Object:
    """The event with each of its output items changed."""
    match event:
        case {"item": item}:
            return {**event, "item": change(item)}
        case {"response": {"output": items} as response}:
            return {**event, "response": {**response, "output": [change(i) for i in items]}}
        case _:
            return event

"""Frames objects as server-sent events, for every API.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream.
"""

import orjson

from worker.api.dialect import Object


def server_sent_event(item: Object, name: str = "") -> str:
    """An object as one event, with a name if there is one. Joined events form a valid stream."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {orjson.dumps(item).decode()}\n\n"

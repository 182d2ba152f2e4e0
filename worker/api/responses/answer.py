"""The answer to a Responses request: its events, and the response object that the last one has.

Rule: a non-streamed answer is the `response` of the last event. Events are numbered without a gap.
Items never interleave; one is done as soon as the model has closed its message, because clients
start a tool then. A message without text makes no item.

    response.created, response.in_progress
    for each message: response.output_item.added … response.output_item.done (worker.api.responses.
    output)
    response.completed | response.incomplete | error, response.failed

Source: https://platform.openai.com/docs/api-reference/responses-streaming, and openresponses.org.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

from worker.api import openai
from worker.api.dialect import Head, Object
from worker.api.responses.output import (
    CustomCallOutput,
    FunctionCallOutput,
    ItemStatus,
    MessageOutput,
    OutputItem,
    ReasoningOutput,
)
from worker.api.responses.request import ResponsesRequest
from worker.errors import BadRequest, ContextLengthExceeded, EngineOverloaded, WorkerError
from worker.harmony.capsule import Capsules
from worker.harmony.events import (
    Event,
    Kind,
    MessageBegun,
    MessageEnded,
    Reasoning,
    Text,
    ToolCallArguments,
    ToolCallBegun,
)
from worker.turn import Ending, TextLogprob, TurnOutput, Usage

log = logging.getLogger(__name__)

MAX_DELTA_LOGPROBS = 256
"""Tokens of a delta with log probabilities: with 20 alternatives each, they take half a megabyte of
the one that a delivery on RunPod's queue may have."""

Keep = Callable[[Object], Awaitable[bool]]
"""Stores a response; whether it could be stored."""


class ResponsesAnswer:
    """Builds the events of one response. `keep` stores it, where the request asks for that."""

    def __init__(
        self, head: Head, request: ResponsesRequest, capsules: Capsules, keep: Keep | None
    ) -> None:
        self._head = head
        self._offered = request.offered
        self._capsules = capsules
        self._keep = keep
        self._fields: Object = {
            "id": f"resp_{head.id}",
            "object": "response",
            "created_at": head.created,
            "completed_at": None,
            "model": head.model,
            "error": None,
            "incomplete_details": None,
            "store": keep is not None,
            "usage": None,
            **request.shown(),
        }
        self._sent = 0
        self._done: list[Object] = []
        self._open: OutputItem | None = None
        self._message: MessageBegun | None = None
        self._ending: Ending | None = None
        self._text_length = 0

    def take(self, turn: int, output: TurnOutput) -> list[Object]:  # noqa: ARG002
        """The events of a step. The first step begins the response, whatever it says."""
        events = [] if self._sent else self._begin()
        for event in _joined(output.events):
            events += self._numbered(self._take(event, output))
        if output.ending is not None:
            self._ending = output.ending
            events += self._numbered(self._end_item(None))
        return events

    def _begin(self) -> list[Object]:
        return [*self._lifecycle("created"), *self._lifecycle("in_progress")]

    def _take(self, event: Event, output: TurnOutput) -> list[Object]:
        match event:
            case MessageBegun():
                self._message = event
                return []
            case Reasoning(text=text) if text:
                return [*self._begin_item(), *self._add(text)]
            case Text(text=text) if text:
                events = self._begin_item()
                if not output.logprobs:
                    self._text_length += len(text)
                    return [*events, *self._add(text)]
                for piece, logprobs in self._pieces(text, output.logprobs):
                    events += self._add(piece, logprobs)
                return events
            case ToolCallBegun():
                return self._begin_call(event)
            case ToolCallArguments(text=text) if text:
                return self._add(text)
            case MessageEnded(complete=complete, span=span):
                cut = not complete and output.ending is not None
                status = _status(output.ending) if cut else "completed"
                return self._end_item(output.ids.slice(span.start, span.stop), status)
            case _:
                return []

    def _add(self, text: str, logprobs: Sequence[Object] = ()) -> list[Object]:
        return self._open.add(text, logprobs) if self._open else []

    def _begin_item(self) -> list[Object]:
        """Adds the item of the current message, unless it has been added."""
        if self._open is not None or self._message is None:
            return []
        index = len(self._done)
        if self._message.kind is Kind.REASONING:
            self._open = ReasoningOutput(self._item_id("rs"), index, self._capsules)
        else:
            phase = "final_answer" if self._message.channel == "final" else "commentary"
            self._open = MessageOutput(self._item_id("msg"), index, phase)
        return self._open.begin()

    def _begin_call(self, call: ToolCallBegun) -> list[Object]:
        target = self._offered.target(call.name)
        kind = CustomCallOutput if target.is_custom else FunctionCallOutput
        item_id = self._item_id("ctc" if target.is_custom else "fc")
        self._open = kind(item_id, len(self._done), call.id, target)
        return self._open.begin()

    def _item_id(self, prefix: str) -> str:
        """The ID of the next item: it has the response's in it, so its record can be found."""
        return f"{prefix}_{self._head.id}{len(self._done):02x}"

    def _end_item(
        self, ids: Sequence[int] | None, status: ItemStatus | None = None
    ) -> list[Object]:
        """Completes the open item, if there is one; without `status`, as the turn ended."""
        item, self._open, self._message = self._open, None, None
        if item is None:
            return []
        status = status or _status(self._ending)
        events = item.end(status, ids)
        self._done.append(item.item(status))
        return events

    def _pieces(
        self, text: str, entries: Sequence[TextLogprob]
    ) -> Iterator[tuple[str, list[Object]]]:
        """A text with its log probabilities, in pieces that are small enough for a delta each."""
        start = self._text_length
        self._text_length += len(text)
        own = [(at - start, token) for at, token in entries if start <= at < self._text_length]
        for first in range(0, max(1, len(own)), MAX_DELTA_LOGPROBS):
            rest = own[first:]
            begin = rest[0][0] if first else 0
            end = rest[MAX_DELTA_LOGPROBS][0] if len(rest) > MAX_DELTA_LOGPROBS else len(text)
            some = rest[:MAX_DELTA_LOGPROBS]
            yield text[begin:end], [openai.logprob(token) for _, token in some]

    async def close(self, usage: Usage) -> list[Object]:
        """Stores the response, then completes it: the next request may come at once."""
        cut = self._ending is not None and self._ending.reason == "length"
        self._fields |= {
            "completed_at": None if cut else int(time.time()),
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "usage": _usage(usage),
        }
        status = "incomplete" if cut else "completed"
        if self._keep is not None:
            self._fields["store"] = await self._keep(self._response(status))
        return self._lifecycle(status)

    def keep_alive(self) -> list[Object]:
        """The response is still in progress: Codex gives up on a stream that has only comments."""
        return self._lifecycle("in_progress") if self._sent else self._begin()

    def failed(self, error: WorkerError) -> list[Object]:
        """The error, nested (as openai-python raises it) and flat (as its types have it), then the
        response that failed, without which Codex reports a lost connection."""
        events = [] if self._sent else self._begin()
        told = openai.error(error)["error"]
        flat = {key: told[key] for key in ("code", "message", "param")}
        events += self._numbered([{"type": "error", **flat, "error": told}])
        self._fields["error"] = _failure(error)
        return [*events, *self._lifecycle("failed")]

    def _lifecycle(self, status: str) -> list[Object]:
        shown = "in_progress" if status == "created" else status
        return self._numbered([{"type": f"response.{status}", "response": self._response(shown)}])

    def _response(self, status: str) -> Object:
        return {**self._fields, "status": status, "output": list(self._done)}

    def _numbered(self, events: list[Object]) -> list[Object]:
        """`events`, which were made for this, with their numbers."""
        for event in events:
            event["sequence_number"] = self._sent
            self._sent += 1
        return events


def _status(ending: Ending | None) -> ItemStatus:
    return "incomplete" if ending is not None and ending.reason == "length" else "completed"


def _joined(events: Sequence[Event]) -> Iterator[Event]:
    """Adjacent pieces of one text as one: a step of many tokens makes one delta."""
    if len(events) < 2:  # as most steps are
        yield from events
        return
    last: Event | None = None
    for event in events:
        match last, event:
            case Text(text=before), Text(text=text):
                last = Text(before + text)
            case Reasoning(text=before), Reasoning(text=text):
                last = Reasoning(before + text)
            case ToolCallArguments(index, before), ToolCallArguments(text=text):
                last = ToolCallArguments(index, before + text)
            case _:
                if last is not None:
                    yield last
                last = event
    if last is not None:
        yield last


def _usage(usage: Usage) -> Object:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt + usage.completion,
    }


def _failure(error: WorkerError) -> Object:
    """A failed response's error. Codex decides by the code whether to try again, and reads the
    number in "try again in 1s"; it takes `server_is_overloaded` as final, so that is never sent."""
    match error:
        case ContextLengthExceeded():
            return {"code": "context_length_exceeded", "message": error.message}
        case BadRequest():
            return {"code": "invalid_prompt", "message": error.message}
        case EngineOverloaded():
            message = f"{error.message} Please try again in 1s."
            return {"code": "rate_limit_exceeded", "message": message}
        case _:
            return {"code": "server_error", "message": error.message}


class ResponsesFold:
    """Folds the events of a response into its object."""

    def __init__(self) -> None:
        self._last: Object = {}

    def add(self, item: Object) -> None:
        self._last = item

    def whole(self) -> Object:
        """The response as its last event has it."""
        return self._last["response"]

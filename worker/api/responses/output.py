"""The output items of a response, and the events by which each comes into being.

An item is added, filled by deltas, and done; its last event has all of it again. Each item is
one message of gpt-oss's output: reasoning (analysis), a message (commentary or final), or a call.
Events are without their `sequence_number`, which the answer gives them.
Source: https://platform.openai.com/docs/api-reference/responses-streaming. Reasoning's events are
`response.reasoning_text.*`, as OpenAI's clients read them.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from worker.api.dialect import Object
from worker.api.responses.free_text import FreeText
from worker.api.responses.tools import CallTarget
from worker.harmony.capsule import Capsules
from worker.harmony.text_buffer import TextBuffer

ItemStatus = Literal["in_progress", "completed", "incomplete"]


class OutputItem(Protocol):
    """One item of the output, while it is made."""

    def begin(self) -> list[Object]:
        """The events that add it."""
        ...

    def add(self, text: str, logprobs: Sequence[Object] = ()) -> list[Object]:
        """The event for a piece of its text."""
        ...

    def end(self, status: ItemStatus, ids: Sequence[int] | None) -> list[Object]:
        """The events that complete it. `ids`: its exact token IDs, where they are known."""
        ...

    def item(self, status: ItemStatus) -> Object:
        """The item as it is now."""
        ...


class _Base:
    """What all items have: an ID, a place in the output, a text that grows."""

    def __init__(self, item_id: str, index: int) -> None:
        self.id = item_id
        self.index = index
        self._written = TextBuffer()

    @property
    def text(self) -> str:
        return self._written.text

    def _event(self, kind: str, **fields: object) -> Object:
        place = self.index
        return {"type": f"response.{kind}", "item_id": self.id, "output_index": place, **fields}

    def _added(self, item: Object) -> Object:
        return {"type": "response.output_item.added", "output_index": self.index, "item": item}

    def _done(self, item: Object) -> Object:
        return {"type": "response.output_item.done", "output_index": self.index, "item": item}


class ReasoningOutput(_Base):
    """A message of the analysis channel; done, it has a capsule of its token IDs."""

    def __init__(self, item_id: str, index: int, capsules: Capsules) -> None:
        super().__init__(item_id, index)
        self._capsules = capsules
        self._capsule: str | None = None

    def begin(self) -> list[Object]:
        return [
            self._added(self.item("in_progress")),
            self._event("content_part.added", content_index=0, part=self._part("")),
        ]

    def add(self, text: str, logprobs: Sequence[Object] = ()) -> list[Object]:  # noqa: ARG002
        self._written.add(text)
        return [self._event("reasoning_text.delta", content_index=0, delta=text)]

    def end(self, status: ItemStatus, ids: Sequence[int] | None) -> list[Object]:
        self._capsule = self._capsules.seal(ids) if ids else None
        return [
            self._event("reasoning_text.done", content_index=0, text=self.text),
            self._event("content_part.done", content_index=0, part=self._part(self.text)),
            self._done(self.item(status)),
        ]

    def _part(self, text: str) -> Object:
        return {"type": "reasoning_text", "text": text}

    def item(self, status: ItemStatus) -> Object:
        return {
            "id": self.id,
            "type": "reasoning",
            "status": status,
            "summary": [],
            "content": [self._part(self.text)] if self._written else [],
            "encrypted_content": self._capsule,
        }


class MessageOutput(_Base):
    """Text for the user: a preamble (`commentary`) or the answer."""

    def __init__(
        self, item_id: str, index: int, phase: Literal["commentary", "final_answer"]
    ) -> None:
        super().__init__(item_id, index)
        self._phase = phase
        self._logprobs: list[Object] = []

    def begin(self) -> list[Object]:
        return [
            self._added(self.item("in_progress")),
            self._event("content_part.added", content_index=0, part=self._part()),
        ]

    def add(self, text: str, logprobs: Sequence[Object] = ()) -> list[Object]:
        self._written.add(text)
        self._logprobs += logprobs
        shown = list(logprobs)
        return [self._event("output_text.delta", content_index=0, delta=text, logprobs=shown)]

    def end(self, status: ItemStatus, ids: Sequence[int] | None) -> list[Object]:  # noqa: ARG002
        done = {"content_index": 0, "text": self.text, "logprobs": list(self._logprobs)}
        return [
            self._event("output_text.done", **done),
            self._event("content_part.done", content_index=0, part=self._part()),
            self._done(self.item(status)),
        ]

    def _part(self) -> Object:
        return {
            "type": "output_text",
            "text": self.text,
            "annotations": [],
            "logprobs": list(self._logprobs),
        }

    def item(self, status: ItemStatus) -> Object:
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "status": status,
            "phase": self._phase,
            "content": [self._part()] if self._written else [],
        }


class _CallOutput(_Base):
    """What calls of functions and of custom tools have in common."""

    def __init__(self, item_id: str, index: int, call_id: str, target: CallTarget) -> None:
        super().__init__(item_id, index)
        self._call_id = call_id
        self._target = target

    def begin(self) -> list[Object]:
        return [self._added(self.item("in_progress"))]

    def item(self, status: ItemStatus) -> Object:
        raise NotImplementedError

    def _item(self, kind: str, status: ItemStatus, **text: str) -> Object:
        namespace = self._target.namespace
        return {
            "id": self.id,
            "type": kind,
            "status": status,
            "call_id": self._call_id,
            "name": self._target.name,
            **({"namespace": namespace} if namespace else {}),
            **text,
        }


class FunctionCallOutput(_CallOutput):
    """A call of a function, of a namespace or not."""

    def add(self, text: str, logprobs: Sequence[Object] = ()) -> list[Object]:  # noqa: ARG002
        self._written.add(text)
        return [self._event("function_call_arguments.delta", delta=text)]

    def end(self, status: ItemStatus, ids: Sequence[int] | None) -> list[Object]:  # noqa: ARG002
        done = {"name": self._target.name, "arguments": self.text}
        return [self._event("function_call_arguments.done", **done), self._done(self.item(status))]

    def item(self, status: ItemStatus) -> Object:
        return self._item("function_call", status, arguments=self.text)


class CustomCallOutput(_CallOutput):
    """A call of a custom tool: its text is taken out of the JSON that the model writes."""

    def __init__(self, item_id: str, index: int, call_id: str, target: CallTarget) -> None:
        super().__init__(item_id, index, call_id, target)
        self._free_text = FreeText()

    def add(self, text: str, logprobs: Sequence[Object] = ()) -> list[Object]:  # noqa: ARG002
        return self._delta(self._free_text.feed(text))

    def _delta(self, text: str) -> list[Object]:
        self._written.add(text)
        return [self._event("custom_tool_call_input.delta", delta=text)] if text else []

    def end(self, status: ItemStatus, ids: Sequence[int] | None) -> list[Object]:  # noqa: ARG002
        return [
            *self._delta(self._free_text.close()),
            self._event("custom_tool_call_input.done", input=self.text),
            self._done(self.item(status)),
        ]

    def item(self, status: ItemStatus) -> Object:
        return self._item("custom_tool_call", status, input=self.text)

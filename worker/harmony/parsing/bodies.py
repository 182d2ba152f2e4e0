"""The bodies of a completion's messages, one after another: what the open one holds, and is told.

Rule: what has come is told at once, but for a last `assistant`, which is the role of a header
without `<|start|>` if a marker comes next.
"""

import re
from collections import Counter
from collections.abc import Callable

from worker.harmony.events import Event, ToolCallBegun
from worker.harmony.parsing.address import Address, Kind
from worker.harmony.parsing.body import Body
from worker.harmony.parsing.recoveries import Recovery
from worker.harmony.parsing.words import ASSISTANT, CONTENT_TYPES
from worker.harmony.tool_names import ToolNames

_ROLE = ASSISTANT.encode()
_TYPE = 24
"""Characters that can be a content type in the arguments' place, with what sticks to it."""
_NO_TYPE = re.compile(r"""[{"\[]|[0-9]""")
_WORD = re.compile(r"[a-z]+")


class Bodies:
    """`begin` a body, put its tokens' bytes into `held`, `end` it; `take_events` as they come."""

    def __init__(
        self, tools: ToolNames, call_id: Callable[[], str], recoveries: Counter[str]
    ) -> None:
        self.open: Body | None = None
        """The open body, or the one that a broken header resumes."""
        self.ended = False
        """Whether the open body has had its end; loose text may still go on with a call."""
        self.held: list[bytes] = []
        """Tokens of the open body that are not told yet."""
        self.calls = 0
        self.reasoning_tokens = 0
        self._tools = tools
        self._call_id = call_id
        self._recoveries = recoveries
        self._events: list[Event] = []

    @property
    def in_string(self) -> bool:
        """Whether an argument's string is open: a marker in it is one that the model quotes."""
        return self.open is not None and self.open.in_string and not self.ended

    @property
    def ended_early(self) -> bool:
        """Whether a call had its end before its arguments."""
        body = self.open
        return body is not None and body.empty and body.kind is Kind.CALL and not body.sealed

    def begin(self, address: Address) -> None:
        """Closes the open body, and opens one for this address."""
        self.close(natural=True)
        self.ended = False
        name = address.name
        self.open = Body(
            address,
            self.calls,
            code=self._tools.takes_code(name),
            code_property=self._tools.code_property(name),
        )
        if address.kind is Kind.CALL:
            self._events.append(ToolCallBegun(self.calls, self._call_id(), address.name))
            self.calls += 1

    def begins_anew(self, address: Address) -> bool:
        """Whether a header with this address begins a message, not the rest of the open one's.

        A call that had its end in place of `<|message|>` is the one that comes next:
        `to=functions.f json<|end|><|start|>assistant<|channel|>commentary to=functions.f …{"a":1}`.
        """
        body = self.open
        if body is None or not body.empty or body.address != address:
            return True
        return self.ended and (body.announced or not self.ended_early)

    def end(self, *, sealed: bool) -> None:
        """The open body had its end. `sealed`: nothing that comes after is its own."""
        if self.open is not None:
            self.open.sealed |= sealed
        self.ended = True

    def close(self, *, natural: bool) -> None:
        """Tells what remains of the open body. `natural`: the model ended it, not a limit."""
        self.flush()
        if self.open is not None:
            self._events += self.open.close(natural=natural)
            if self.open.mended:
                self._recoveries[Recovery.ARGUMENTS] += 1
            self.open = None

    def drop_type(self) -> None:
        """`<|message|>` came again: a content type between the two is no part of the arguments."""
        if self._may_be_type() and not CONTENT_TYPES.isdisjoint(_WORD.findall(self._begun)):
            self.held.clear()

    def _may_be_type(self) -> bool:
        """Whether all that came of a call's arguments can be a content type or the beginning of
        one, with what sticks to it: `json`, `(json)?`. Code can begin with anything."""
        body = self.open
        if body is None or body.kind is not Kind.CALL or not body.empty or not self.held:
            return False
        if body.takes_code:
            return any(name.startswith(self._begun) for name in CONTENT_TYPES)
        return len(self._begun) <= _TYPE and not _NO_TYPE.search(self._begun)

    @property
    def _begun(self) -> str:
        return b"".join(self.held).decode("utf-8", "replace").strip().lower()

    def take_role(self) -> list[bytes]:
        """Takes a last `assistant` off the body, if there is one: a marker came after it."""
        return [self.held.pop()] if self.held[-1:] == [_ROLE] else []

    def take_events(self) -> list[Event]:
        """What came since the last time."""
        held = self.held
        if held and not (self.open and self.open.empty and self._may_be_type()):
            if held[-1] == _ROLE:
                held.pop()
                self.flush()
                held.append(_ROLE)
            else:
                self.flush()
        events, self._events = self._events, []
        return events

    def flush(self) -> None:
        """Tells all that is held. Bytes before the first body wait for it."""
        body, held = self.open, self.held
        if body is None or not held:
            return
        if body.kind is Kind.REASONING:
            self.reasoning_tokens += len(held)
        event = body.feed(b"".join(held))
        held.clear()
        if event is not None:
            self._events.append(event)

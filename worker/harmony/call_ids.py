"""Reasoning inside the ids of calls, for clients that send back nothing else.

A chat client returns neither reasoning nor a capsule, but it always returns a call's id, and the
reasoning before a call is complete when the id is sent. So the id can carry the capsule of that
reasoning, and the next turn has its exact token IDs on whichever worker it lands:

    call_8f14e45fceea167a5a36dedd-AQF4nGNiYGZgYmBhYAUAASkAHw
         unique                   capsule, without padding

Of parallel calls only the first has reasoning before it, so only its id carries any.

Rule: any id is a valid id. One that carries nothing, or nothing that opens, adds nothing to the
prompt; a capsule holds ordinary text only, so no id can inject a marker.
"""

from collections.abc import Sequence
from itertools import groupby

from worker.harmony.capsule import Capsules
from worker.harmony.conversation import Called, Message, Said, Thought, after_answer

_MARK = "-"
"""Separates the unique part of an id, which does not contain it, from the capsule."""


class CallIds:
    """Puts reasoning into ids and takes it out again.

    `max_length`: of an id, in characters; reasoning that would make it longer is left out.
    """

    def __init__(self, capsules: Capsules, max_length: int) -> None:
        self._capsules = capsules
        self._max_length = max_length

    def with_reasoning(self, call_id: str, ids: Sequence[int]) -> str:
        """`call_id` with the reasoning `ids`, or as it is if there is none or it would not fit."""
        if not ids:
            return call_id
        carrying = f"{call_id}{_MARK}{self._capsules.seal(ids).rstrip('=')}"
        return carrying if len(carrying) <= self._max_length else call_id

    def restored(self, messages: Sequence[Message]) -> Sequence[Message]:
        """`messages` with the reasoning that is in their calls' ids, each before its call and the
        preamble to it.

        A turn whose reasoning the client has sent in other words stays as it is, as does everything
        up to the last answer, since reasoning before that is not rendered.
        """
        if not any(isinstance(each, Called) and _MARK in each.id for each in messages):
            return messages
        begin = after_answer(messages)
        restored = list(messages[:begin])
        for is_turn, run in groupby(messages[begin:], _is_of_turn):
            together = list(run)
            restored += self._turn(together) if is_turn else together
        return restored

    def _turn(self, turn: list[Message]) -> list[Message]:
        restored: list[Message] = []
        begin = 0  # of what led to the next call: a preamble, or nothing
        for message in turn:
            if isinstance(message, Thought):
                continue
            if isinstance(message, Called):
                if thought := self._thought(message.id):
                    restored.insert(begin, thought)
                begin = len(restored) + 1
            restored.append(message)
        return restored if _reasoning(turn) in ("", _reasoning(restored)) else turn

    def _thought(self, call_id: str) -> Thought | None:
        capsule = call_id.partition(_MARK)[2]
        padding = "=" * (-len(capsule) % 4)
        return self._capsules.thought(capsule + padding, "") if capsule else None


def _is_of_turn(message: Message) -> bool:
    return isinstance(message, Thought | Said | Called)


def _reasoning(turn: Sequence[Message]) -> str:
    return "".join(message.text for message in turn if isinstance(message, Thought)).strip()

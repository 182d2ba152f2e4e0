"""The turns that a server with forced output took, as token ids: for tests of clients' histories.

Each server process appends its turns to a file of its own, one JSON object per line, as it takes
them. The clock is the machine's, so the turns of several processes can be put in order.
"""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.scripted_engine import tokens
from worker.harmony.vocabulary import END, MESSAGE, START, encoding

ANALYSIS = tokens("<|channel|>analysis<|message|>")


class Turn(NamedTuple):
    """A prompt and the model's output to it; `worker` is the index of the process in its fleet."""

    at: float
    prompt: list[int]
    output: list[int]
    worker: int = 0

    def continues(self, earlier: "Turn") -> bool:
        """Whether the prompt begins with exactly what was in the cache after the earlier turn."""
        cached = earlier.prompt + earlier.output
        return self.prompt[: len(cached)] == cached

    def remembers(self, earlier: "Turn") -> bool:
        """Whether the prompt begins with exactly the earlier prompt and its analysis.

        Calls may differ: Anthropic's API carries arguments as objects, so their spacing is lost,
        and only the worker that made two calls knows that the first ended in <|end|>.
        """
        thoughts = earlier.thoughts()
        known = earlier.prompt + [token for ids in thoughts for token in ids]
        return bool(thoughts) and self.prompt[: len(known)] == known

    def answers_call(self) -> bool:
        """Whether the prompt's last message is a tool's result."""
        body = _last(self.prompt, MESSAGE)
        author = self.prompt[_last(self.prompt[:body], START) + 1 : body]
        return encoding().decode(author).startswith("functions.")

    def thoughts(self) -> list[list[int]]:
        """The output's analysis messages, markers included."""
        found: list[list[int]] = []
        rest = self.output
        while (start := index(rest, ANALYSIS)) is not None:
            end = rest.index(END, start) + 1
            found.append(rest[start:end])
            rest = rest[end:]
        return found


def strays(turns: Sequence[Turn]) -> list[Turn]:
    """The turns on a tool's result whose prompts do not continue an earlier turn's exact ids."""
    return [
        turn
        for number, turn in enumerate(turns)
        if turn.answers_call() and not any(map(turn.continues, turns[:number]))
    ]


def index(ids: Sequence[int], part: Sequence[int]) -> int | None:
    """Where `part` first stands in `ids`."""
    starts = range(len(ids) - len(part) + 1)
    return next((at for at in starts if list(ids[at : at + len(part)]) == list(part)), None)


def _last(ids: Sequence[int], token: int) -> int:
    return len(ids) - 1 - list(reversed(ids)).index(token)


def record(file: Path, prompt: Sequence[int], output: Sequence[int]) -> None:
    """Appends a turn to a process's file."""
    with file.open("a") as lines:
        lines.write(json.dumps([time.monotonic(), list(prompt), list(output)]) + "\n")


def recorded(files: Iterable[Path]) -> list[Turn]:
    """The turns in the files of a fleet's processes, in the order in which they were taken."""
    turns = [
        Turn(at, prompt, output, worker)
        for worker, file in enumerate(files)
        if file.exists()
        for at, prompt, output in map(json.loads, file.read_text().splitlines())
    ]
    return sorted(turns)

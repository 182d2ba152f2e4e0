"""Shows a local run's answer to a person: reasoning dim, calls bold, text as it is generated.

An answer is read in the form that its API gives it, streamed (chunks or events) or whole, as pieces
of text of three kinds. What has no such form, like a list of models, is shown as JSON.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from worker.api.dialect import Object

_DIM, _BOLD, _PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[0m"


class Piece(NamedTuple):
    """Some text of an answer. `begins`: it is on a line of its own, even after its own kind."""

    kind: Literal["reasoning", "text", "call"]
    text: str | None
    begins: bool = False


_STYLES = {"reasoning": _DIM, "text": "", "call": _BOLD}


class TerminalView:
    """Writes an answer to standard output as it comes; `end` writes the last line."""

    def __init__(self) -> None:
        self._kind: str | None = None
        """What kind of text the cursor stands behind."""

    def show(self, answer: Object) -> None:
        """Shows one object of an answer: a chunk, an event, or all of it."""
        pieces = pieces_of(answer)
        if pieces is None:
            self._write("json", "", json.dumps(answer, ensure_ascii=False, indent=2))
            return
        for piece in pieces:
            if piece.begins:
                self._begin_line()
            self._write(piece.kind, _STYLES[piece.kind], piece.text)

    def end(self, figures: Mapping[str, Any]) -> None:
        """Shows a completed job's figures on one line, apart from the answer."""
        shown = [
            f"{figures[name]:,} {unit}"
            for name, unit in (
                ("prompt_tokens", "tokens in"),
                ("cached_tokens", "cached"),
                ("completion_tokens", "out"),
                ("ttft_ms", "ms to the first"),
                ("tokens_per_s", "tokens/s"),
            )
            if name in figures
        ]
        self._begin_line()
        self._write("figures", _DIM, ", ".join(shown))
        self._begin_line()
        sys.stdout.flush()

    def _begin_line(self) -> None:
        if self._kind is not None:
            sys.stdout.write("\n")
        self._kind = None

    def _write(self, kind: str, style: str, text: str | None) -> None:
        if not text:
            return
        if self._kind != kind:
            self._begin_line()
        self._kind = kind
        sys.stdout.write(f"{style}{text}{_PLAIN if style else ''}")
        sys.stdout.flush()


def pieces_of(answer: Object) -> Iterator[Piece] | None:
    """The pieces of text in an object of any API; None if it is no part of an answer in text."""
    match answer:
        case {"choices": choices}:
            return _of_choices(choices)
        case {"object": "response", "output": items}:
            return (piece for item in items for piece in _of_item(item))
        case {"type": "message", "content": blocks}:
            return (piece for block in blocks for piece in _of_block(block))
        case {"type": str(event)} if event != "error":
            return _of_event(event, answer)
        case _:
            return None


def _of_choices(choices: Sequence[Object]) -> Iterator[Piece]:
    """Of a chat or a text completion, streamed or not."""
    for choice in choices:
        said = choice.get("delta") or choice.get("message") or {"content": choice.get("text")}
        yield Piece("reasoning", said.get("reasoning"))
        yield Piece("text", said.get("content"))
        for call in said.get("tool_calls") or ():
            function = call["function"]
            if name := function.get("name"):
                yield Piece("call", f"{name} ", begins=True)
            yield Piece("call", function.get("arguments"))


def _of_event(event: str, answer: Object) -> Iterator[Piece]:
    """Of an event of Responses, whose deltas are text, or of Messages."""
    match answer:
        case {"item": {"name": name}} if event == "response.output_item.added":
            yield Piece("call", f"{name} ", begins=True)
        case {"delta": str(text)}:
            calls, reasons = "_call_" in event, event.startswith("response.reasoning")
            yield Piece("call" if calls else "reasoning" if reasons else "text", text)
        case {"content_block": {"name": name}}:
            yield Piece("call", f"{name} ", begins=True)
        case {"delta": {"thinking": text}}:
            yield Piece("reasoning", text)
        case {"delta": {"text": text}}:
            yield Piece("text", text)
        case {"delta": {"partial_json": text}}:
            yield Piece("call", text)
        case _:
            return


def _of_item(item: Object) -> Iterator[Piece]:
    """Of an item of a whole response."""
    match item:
        case {"name": name}:
            yield Piece("call", f"{name} ", begins=True)
            yield Piece("call", item.get("arguments", item.get("input")))
        case {"type": kind, "content": parts}:
            for part in parts:
                yield Piece("reasoning" if kind == "reasoning" else "text", part.get("text"))
        case _:
            return


def _of_block(block: Object) -> Iterator[Piece]:
    """Of a content block of a whole message."""
    match block:
        case {"type": "tool_use", "name": name, "input": arguments}:
            yield Piece("call", f"{name} ", begins=True)
            yield Piece("call", json.dumps(arguments, ensure_ascii=False))
        case {"thinking": text}:
            yield Piece("reasoning", text)
        case {"text": text}:
            yield Piece("text", text)
        case _:
            return

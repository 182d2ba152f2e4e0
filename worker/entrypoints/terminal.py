"""Shows a local run's answer to a person: reasoning dim, calls and text as they are generated.

Rule: only chat and text completions have such a form; every other object is shown as JSON.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

_DIM, _BOLD, _PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[0m"


class TerminalView:
    """Writes outputs to standard output as they come; `end` writes the last line."""

    def __init__(self) -> None:
        self._shown: str | None = None
        """What kind of text the cursor stands behind."""

    def show(self, output: object) -> None:
        """Shows one output of a job: a chunk, or a whole completion."""
        choices = output.get("choices") if isinstance(output, Mapping) else None
        if choices is None:
            self._write("json", "", json.dumps(output, ensure_ascii=False))
            return
        for choice in choices:
            said = choice.get("delta") or choice.get("message") or {"content": choice.get("text")}
            self._show_message(said)

    def _show_message(self, message: Mapping[str, Any]) -> None:
        self._write("reasoning", _DIM, message.get("reasoning"))
        self._write("content", "", message.get("content"))
        for call in message.get("tool_calls") or ():
            function = call["function"]
            if name := function.get("name"):
                self._write(f"call {call.get('id')}", _BOLD, f"{name} ")
            self._write(self._shown or "call", _BOLD, function.get("arguments"))

    def end(self, figures: Mapping[str, Any]) -> None:
        """Shows a completed job's figures on one line."""
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
        self._write("figures", _DIM, ", ".join(shown))
        sys.stdout.write("\n")

    def _write(self, kind: str, style: str, text: str | None) -> None:
        if not text:
            return
        if self._shown not in (None, kind):
            sys.stdout.write("\n")
        self._shown = kind
        sys.stdout.write(f"{style}{text}{_PLAIN if style else ''}")
        sys.stdout.flush()

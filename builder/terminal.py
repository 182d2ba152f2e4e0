"""Writes docs/terminal.svg, the README's moving picture: `python -m builder.terminal`.

It runs `test_input.json` with the demo model, notes when each chunk arrives, and draws the tokens
so that each appears at its time. The engine's boot is left out. A reader who prefers no motion sees
the whole text at once.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from os import environ
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "terminal.svg"
COLUMNS, LINE, CHARACTER, MARGIN = 92, 22, 8.43, 20
"""Columns of the terminal; a line's height, a character's width and the margin, in pixels."""
SLOWER = 4
"""The picture plays so many times slower than it was, so that one sees the tokens come."""
PAUSE = 4.0
"""Seconds for which the whole text stays before the picture begins again."""
STYLE = """
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre; }
.prompt { fill: #7ee787; } .typed { fill: #e6edf3; } .thought { fill: #8b949e; }
.call { fill: #79c0ff; } .figures { fill: #d2a8ff; }
@media (prefers-reduced-motion: reduce) { tspan { animation: none !important; } }
"""


@dataclass(frozen=True)
class Piece:
    """Text that appears `at` seconds after the command. "\\n" begins a line."""

    text: str
    kind: str
    at: float


def recorded() -> Iterator[Piece]:
    """A real run, from its first chunk on."""
    yield Piece("$ ", "prompt", 0)
    yield Piece("make run\n", "typed", 0)
    command = [sys.executable, "handler.py"]
    with subprocess.Popen(
        command, cwd=ROOT, env={**environ, "MODEL": "demo"}, stdout=subprocess.PIPE, text=True
    ) as run:
        began = 0.0
        for line in run.stdout or ():
            began = began or time.monotonic()
            at = 0.6 + (time.monotonic() - began) * SLOWER
            yield from _pieces(json.loads(line), at)
    if run.returncode:
        raise SystemExit(f"{' '.join(command)} exited with {run.returncode}.")


def _pieces(value: dict[str, Any], at: float) -> Iterator[Piece]:
    """What a line of the run shows: a chunk, or the job's result."""
    if "metrics" in value:
        figures = value["metrics"]
        yield Piece(
            f"\n\n{figures['prompt_tokens']} prompt tokens,"
            f" {figures['completion_tokens']} generated,"
            f" the first after {figures['ttft_ms']:.0f} ms, {figures['tokens_per_s']:.0f} tokens/s",
            "figures",
            at,
        )
        return
    delta = value["choices"][0]["delta"]
    if thought := delta.get("reasoning"):
        yield Piece(thought, "thought", at)
    for call in delta.get("tool_calls") or ():
        function = call["function"]
        if name := function.get("name"):
            yield Piece(f"\n{name} ", "call", at)
        yield Piece(function["arguments"], "call", at)


def lines_of(pieces: list[Piece]) -> list[list[Piece]]:
    """The pieces in lines of at most `COLUMNS` characters, broken before a word."""
    lines: list[list[Piece]] = [[]]
    for piece in pieces:
        first, *more = piece.text.split("\n")
        column = sum(len(each.text) for each in lines[-1])
        if column + len(first) > COLUMNS:
            lines.append([])
            first = first.lstrip()
        lines[-1].append(Piece(first, piece.kind, piece.at))
        lines += [[Piece(text, piece.kind, piece.at)] for text in more]
    return lines


def drawn(pieces: list[Piece]) -> str:
    """The SVG. Each time at which something appears has its keyframes."""
    lines = lines_of(pieces)
    lasts = max(piece.at for piece in pieces) + PAUSE
    width, height = COLUMNS * CHARACTER + 2 * MARGIN, (len(lines) + 1) * LINE + MARGIN
    times = sorted({piece.at for piece in pieces})
    frames = "".join(_keyframes(at, times.index(at), lasts) for at in times)
    texts = "".join(
        f'<text x="{MARGIN}" y="{MARGIN + LINE * row}">'
        + "".join(_tspan(piece, times.index(piece.at)) for piece in line if piece.text)
        + "</text>\n"
        for row, line in enumerate(lines, start=1)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'width="{width:.0f}" height="{height}" role="img" aria-label="{_label(pieces)}">\n'
        f"<style>{STYLE}tspan {{ animation-duration: {lasts:.1f}s; "
        f"animation-iteration-count: infinite; }}\n{frames}</style>\n"
        f'<rect width="100%" height="100%" rx="8" fill="#0d1117"/>\n{texts}</svg>\n'
    )


def _keyframes(at: float, number: int, lasts: float) -> str:
    shown = f"{100 * at / lasts:.2f}%"
    hidden = f"0%, {shown} {{ fill-opacity: 0; }} " if number else ""
    after = f"{100 * at / lasts + 0.01:.2f}%"
    return f"@keyframes k{number} {{ {hidden}{after}, 100% {{ fill-opacity: 1; }} }}\n"


def _tspan(piece: Piece, number: int) -> str:
    style = f"animation-name: k{number}"
    return f'<tspan class="{piece.kind}" style="{style}">{escape(piece.text)}</tspan>'


def _label(pieces: list[Piece]) -> str:
    return escape(" ".join("".join(piece.text for piece in pieces).split()), quote=True)


if __name__ == "__main__":
    PICTURE.write_text(drawn(list(recorded())))
    print(f"Wrote {PICTURE}: {PICTURE.stat().st_size} bytes.")

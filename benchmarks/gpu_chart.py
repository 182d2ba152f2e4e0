"""The GPU benchmark's chart: tokens per second by streams, of the bare engine and our HTTP API."""

import json
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, LEFT, FLOOR = 560, 300, 60, 250
SIDES = (("bare_tokens_per_s", "#9aa5b1", "bare engine"), ("http_tokens_per_s", "#2563eb", "HTTP"))


def draw_chart(result: Path) -> Path:
    """Writes an SVG next to a run's JSON. Raises KeyError if the run has no `summary`."""
    run: dict[str, Any] = json.loads(result.read_text())
    summaries = {
        int(count): numbers for count, numbers in run["summary"].items() if numbers is not None
    }
    highest = max(numbers[key] for numbers in summaries.values() for key, _, _ in SIDES)
    step = (WIDTH - LEFT - 20) / len(summaries)
    marks: list[str] = []
    for place, (count, numbers) in enumerate(sorted(summaries.items())):
        left = LEFT + place * step
        for side, (key, color, _) in enumerate(SIDES):
            height = numbers[key] / highest * 200
            x = left + side * step * 0.36
            marks.append(
                f'<rect x="{x:.0f}" y="{FLOOR - height:.0f}" width="{step * 0.34:.0f}" '
                f'height="{height:.0f}" fill="{color}"/>'
            )
            marks.append(text(x + step * 0.17, FLOOR - height - 4, f"{numbers[key]:,.0f}"))
        label = f"{count} streams, {numbers['ratio']:.3f}"
        marks.append(text(left + step * 0.36, FLOOR + 16, label))
    for side, (_, color, name) in enumerate(SIDES):
        marks.append(
            f'<rect x="{LEFT + side * 140}" y="278" width="10" height="10" fill="{color}"/>'
        )
        marks.append(text(LEFT + side * 140 + 55, 287, f"{name}"))
    title = f"gpt-oss-{run['model']}: tokens per second, and HTTP's share of the bare engine's"
    marks.append(text(WIDTH / 2, 20, title))
    figure = result.with_suffix(".svg")
    figure.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
        + "".join(marks)
        + "</svg>\n"
    )
    return figure


def text(x: float, y: float, words: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle">{words}</text>'

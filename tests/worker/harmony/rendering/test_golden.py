"""Whole prompts as gpt-oss reads them, written down: golden/NAME.json is the request, NAME.txt the
prompt.

A changed prompt is seen in review as a changed text; `python -m
tests.worker.harmony.rendering.test_golden` writes the texts anew.
"""

import json
from pathlib import Path

import pytest

from worker.api.chat import render_prompt
from worker.harmony.vocabulary import encoding

GOLDEN = Path(__file__).parent / "golden"
REQUESTS = sorted(GOLDEN.glob("*.json"))


def prompt(request: Path) -> str:
    return encoding().decode(render_prompt(json.loads(request.read_text())))


@pytest.mark.parametrize("request_", REQUESTS, ids=[path.stem for path in REQUESTS])
def test_the_prompt_is_the_one_written_down(request_: Path) -> None:
    """Byte for byte."""
    assert prompt(request_) == request_.with_suffix(".txt").read_text()


if __name__ == "__main__":
    for path in REQUESTS:
        path.with_suffix(".txt").write_text(prompt(path))

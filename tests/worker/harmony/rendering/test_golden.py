"""Golden prompts, exactly as gpt-oss gets them: request golden/NAME.json, prompt golden/NAME.txt.

A changed prompt shows up in review as a changed text file; `python -m
tests.worker.harmony.rendering.test_golden` regenerates the files.
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
def test_the_prompt_matches_the_golden_file(request_: Path) -> None:
    """Byte for byte."""
    assert prompt(request_) == request_.with_suffix(".txt").read_text()


if __name__ == "__main__":
    for path in REQUESTS:
        path.with_suffix(".txt").write_text(prompt(path))

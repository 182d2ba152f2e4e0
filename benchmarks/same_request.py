"""The request that every side answers on the stand-in of SGLang's scheduler (`fake_scheduler.py`).

SGLang's chat completions get a chat template that renders our prompt, so that all generate the same
ids from the same prompt.
"""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from worker.api.chat import render_prompt
from worker.harmony.vocabulary import encoding

SPEED = 4000
"""Tokens per second over all streams."""


def asking(length: int) -> dict[str, Any]:
    """The body of a streamed chat completion of `length` tokens."""
    return {
        "model": "demo",
        "messages": [{"role": "user", "content": "Write."}],
        "temperature": 0,
        "max_tokens": length,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@contextmanager
def chat_template(body: dict[str, Any]) -> Generator[str]:
    """The path of a template that renders our prompt of `body`, whatever the messages."""
    with tempfile.NamedTemporaryFile("w", suffix=".jinja") as template:
        template.write("{% raw %}" + encoding().decode(render_prompt(body)) + "{% endraw %}")
        template.flush()
        yield template.name

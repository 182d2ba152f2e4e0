"""Random well-formed completions: every kind of message that gpt-oss writes, from a seed.

Bodies never contain a `|`, so a marker in the parsed output is a leak. They do contain words that
look like headers, since a body is text whatever it says.
"""

import json
import random
from typing import Any

from worker.harmony.vocabulary import encode, encoding

PIECES = (
    *("the weather", " in", " Paris", " is", " sunny", ".", "\n", "\n\n", " ", "\t", "!", " 42"),
    *("analysis", " final", "assistant", "commentary to=functions.x", " json", "code", "user"),
    *("日本語", "Grüße", "👩‍👩‍👧", "é", "שלום", "\u200b", "𝒳", "नमस्ते", "\ufeff"),
    *('{"a": 1}', "```python\nprint(1)\n```", "<", ">", "<b>", "\\", '"', "'", ",", "]", "}"),
)
FUNCTIONS = ("get_weather", "fs.read", "get-time", "v2_search", "mcp__git__log")
BUILT_IN = ("browser.search", "browser.open", "python")
TYPES = (" <|constrain|>json", "<|constrain|>json", " json", " code", " <|constrain|>JSON", "")


def text(rng: random.Random) -> str:
    return "".join(rng.choices(PIECES, k=rng.choice((0, 1, 2, 5, 10))))


def arguments(rng: random.Random) -> str:
    """A JSON object, formatted in one of the ways in which models do; or an empty string."""

    def value(depth: int) -> Any:
        kind = rng.randrange(7 if depth else 5)
        plain = (text(rng), rng.randrange(-5, 10**6), rng.random(), None, rng.random() < 0.5)
        if kind < len(plain):
            return plain[kind]
        size = rng.randrange(3)
        if kind == len(plain):
            return [value(depth - 1) for _ in range(size)]
        return {text(rng): value(depth - 1) for _ in range(size)}

    if rng.random() < 0.05:
        return ""
    object_ = {f"key{i}": value(2) for i in range(rng.randrange(4))}
    indent = rng.choice((None, None, 1))
    return json.dumps(object_, ensure_ascii=rng.random() < 0.5, indent=indent)


def call_header(rng: random.Random) -> tuple[str, str]:
    """The header of a call, and its recipient."""
    name = rng.choice((*FUNCTIONS, *BUILT_IN))
    recipient = name if name in BUILT_IN or rng.random() < 0.2 else f"functions.{name}"
    channel = rng.choice(("commentary", "commentary", "analysis"))
    kind = rng.choice(TYPES)
    if rng.random() < 0.3:
        return f" to={recipient}<|channel|>{channel}{kind}<|message|>", recipient
    if rng.random() < 0.05:
        return f" to={recipient}<|message|>", recipient
    return f"<|channel|>{channel} to={recipient}{kind}<|message|>", recipient


def message(rng: random.Random) -> list[int]:
    """One message of the assistant, or a call, possibly with its result."""
    kind = rng.choice(("analysis", "analysis", "commentary", "final", "call", "call", "other"))
    if kind == "call":
        header, recipient = call_header(rng)
        ids = _special(header) + encode(arguments(rng)) + _special("<|call|>")
        if rng.random() < 0.3:
            channel = rng.choice(("commentary", "analysis"))
            ids += _special(f"<|start|>{recipient} to=assistant<|channel|>{channel}<|message|>")
            ids += encode(text(rng)) + _special("<|end|>")
        return ids
    if kind == "other":
        header = rng.choice(("<|message|>", "<|channel|>summary<|message|>"))
    else:
        header = f"<|channel|>{kind}<|message|>"
    return _special(header) + encode(text(rng)) + _special("<|end|>")


def conversation(rng: random.Random) -> list[int]:
    """A completion's ids, which follow the prompt's `<|start|>assistant`."""
    ids = message(rng)
    for _ in range(rng.choice((0, 1, 2, 3, 5))):
        if rng.random() < 0.03:
            ids += _special("<|start|>user<|message|>") + encode(text(rng)) + _special("<|end|>")
        ids += _special("<|start|>assistant") + message(rng)
    if rng.random() < 0.5:
        ids += _special("<|start|>assistant<|channel|>final<|message|>")
        ids += encode(text(rng)) + _special("<|return|>")
    return ids


def _special(markup: str) -> list[int]:
    return encoding().encode(markup, allowed_special="all")

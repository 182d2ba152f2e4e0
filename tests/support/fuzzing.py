"""Invariants that hold for any ids, and mutations of well-formed output.

Used by the fuzz tests in CI (tests/worker/harmony/parsing/test_fuzz.py) and by
fuzz/fuzz_parser.py.
"""

import random
import re
from collections.abc import Callable, Sequence

from worker.harmony import (
    Event,
    Finished,
    MessageBegun,
    MessageEnded,
    Parser,
    Reasoning,
    Text,
    ToolCallArguments,
    ToolCallBegun,
)
from worker.harmony.vocabulary import encoding

MARKER = re.compile(r"<\|\w*\|>")
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("get_weather", "fs.read")]
SPECIAL = (
    *(200002, 200003, 200005, 200006, 200007, 200008, 200012),  # Harmony's markers
    *(199998, 199999, 200000, 200013, 200018, 201087),  # other special tokens
    *(-1, 201088, 2**40),  # not in the vocabulary
)
"""Ids that are never text."""
MARKUP = ("<|start|>assistant", "<|channel|>final<|message|>", " to=functions.fs.read", "{", "}")
SNIPPETS = [encoding().encode(markup, allowed_special="all") for markup in MARKUP]


def parse(pieces: Sequence[Sequence[int]]) -> list[Event]:
    parser = Parser(TOOLS, call_id=lambda: "id")
    return [event for ids in pieces for event in parser.feed(ids)] + parser.finish()


def joined(events: list[Event]) -> list[tuple[str, str]]:
    """The events as (kind, text), neighbours of a kind joined: the same for any split."""
    pairs: list[tuple[str, str]] = []
    for event in events:
        match event:
            case Text(text) | Reasoning(text):
                kind = type(event).__name__
            case ToolCallArguments(index, text):
                kind = f"arguments {index}"
            case ToolCallBegun(index, _, name):
                kind, text = f"call {index}", name
            case MessageBegun(what, channel, recipient):
                kind, text = "begun", f"{what.name} {channel} {recipient}"
            case MessageEnded(complete, span, arguments):
                is_call = bool(pairs) and pairs[-1][0].startswith("arguments")
                assert arguments == (pairs[-1][1] if is_call else "")
                kind, text = "ended", f"{complete} {span}"
            case Finished(complete):
                kind, text = "finished", str(complete)
        if pairs and pairs[-1][0] == kind:
            text = pairs.pop()[1] + text
        pairs.append((kind, text))
    return pairs


def without_spans(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same without the messages' positions in the completion's ids."""
    return [(kind, "" if kind == "ended" else text) for kind, text in pairs]


def leaks(pairs: list[tuple[str, str]]) -> list[str]:
    """The texts that contain a marker."""
    return [text for _, text in pairs if MARKER.search(text)]


Mutation = Callable[[random.Random, list[int], list[int]], list[int]]


def mutate(rng: random.Random, ids: list[int], other: list[int]) -> list[int]:
    """`ids` with one to four random mutations, some of which splice in parts of `other`."""
    for _ in range(rng.randint(1, 4)):
        ids = rng.choice(MUTATIONS)(rng, ids, other)
    return ids


def _delete(rng: random.Random, ids: list[int], _: list[int]) -> list[int]:
    at = _place(rng, ids)
    return ids[:at] + ids[at + rng.choice((1, 1, 1, 3)) :]


def _delete_special(rng: random.Random, ids: list[int], _: list[int]) -> list[int]:
    places = [i for i, token in enumerate(ids) if token in SPECIAL]
    gone = rng.choice(places) if places else -1
    return [token for i, token in enumerate(ids) if i != gone]


def _insert(rng: random.Random, ids: list[int], other: list[int]) -> list[int]:
    at = _place(rng, ids)
    return ids[:at] + other[_place(rng, other) :][:1] + ids[at:]


def _duplicate(rng: random.Random, ids: list[int], _: list[int]) -> list[int]:
    at, size = _place(rng, ids), rng.choice((1, 1, 4, 10))
    return ids[: at + size] + ids[at:]


def _swap(rng: random.Random, ids: list[int], _: list[int]) -> list[int]:
    a, b = sorted((_place(rng, ids), _place(rng, ids)))
    return ids[:a] + ids[b : b + 1] + ids[a + 1 : b] + ids[a : a + 1] * (a < b) + ids[b + 1 :]


def _inject_special(rng: random.Random, ids: list[int], _: list[int]) -> list[int]:
    at = _place(rng, ids)
    return [*ids[:at], rng.choice(SPECIAL), *ids[at:]]


def _inject_markup(rng: random.Random, ids: list[int], _: list[int]) -> list[int]:
    at = _place(rng, ids)
    return [*ids[:at], *rng.choice(SNIPPETS), *ids[at:]]


def _cut(rng: random.Random, ids: list[int], _: list[int]) -> list[int]:
    return ids[: _place(rng, ids)]


def _splice(rng: random.Random, ids: list[int], other: list[int]) -> list[int]:
    return ids[: _place(rng, ids)] + other[_place(rng, other) :]


def _place(rng: random.Random, ids: list[int]) -> int:
    return int(rng.random() * (len(ids) + 1))


MUTATIONS: tuple[Mutation, ...] = (
    *(_delete, _delete_special, _insert, _duplicate, _swap),
    *(_inject_special, _inject_markup, _cut, _splice),
)

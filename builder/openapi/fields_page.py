"""docs/fields.md: every request field of every API, made from worker/api/field_table.py.

What works stands in a table with a column for each API; what is ignored, or rejected in the same
way everywhere, only in a list.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from worker.api.field_table import (
    FIELDS,
    Alias,
    NoEffect,
    Rejected,
    RequestKind,
    Supported,
    Unwrapped,
    Use,
)

FIELDS_PAGE = Path(__file__).parent.parent.parent / "docs" / "fields.md"
_OPENAI: Mapping[str, RequestKind] = {
    "chat completions": "chat",
    "text completions": "text",
    "Responses": "responses",
}
_BEGIN = """# Request fields

[Supported](#supported) · [Different in each API](#different-in-each-api) ·
[Ignored](#ignored) · [Rejected](#rejected) · [Messages](#messages)

What the worker does with every field that clients are known to send. The important ones are
explained in [HTTP](http.md#chat-completions). A field that is not listed is ignored, with one line
in the log.
"""
_SUPPORTED = """
## Supported

By at least one of chat completions, text completions and Responses. An *alias* is read as the field
that it names. What is *rejected* gets a 400 that names the field, unless its value asks for what
happens anyway.

"""
_DIFFERENT = """
## Different in each API

Supported by none of the three.

"""
_IGNORED = """
## Ignored

Accepted by all three, and without effect on the answer: {}.
"""
_REJECTED = """
## Rejected

By all three, with a 400 that names the field, because the answer would not be what was asked for.
`null` is accepted, and so are the values that ask for what happens anyway.

| accepted | fields |
| --- | --- |
"""
_MESSAGES = """
## Messages

"""
_MESSAGES_IGNORED = """
Ignored: {}.
"""


def fields_page() -> str:
    return "".join(_parts())


def _parts() -> Iterator[str]:
    yield _BEGIN
    names = _names(*_OPENAI.values())
    yield _SUPPORTED + _table(_OPENAI, filter(_is_supported, names))
    others = [name for name in names if not _is_supported(name)]
    ignored = [name for name in others if _is_everywhere(name, NoEffect)]
    rejected = [name for name in others if _is_everywhere(name, Rejected)]
    different = [name for name in others if name not in {*ignored, *rejected}]
    yield _DIFFERENT + _table(_OPENAI, different)
    yield _IGNORED.format(_listed(ignored))
    yield _REJECTED + "".join(_rejected_rows(rejected))
    of_messages = FIELDS["messages"]
    ignored = [name for name, use in of_messages.items() if isinstance(use, NoEffect)]
    others = [name for name in of_messages if name not in ignored]
    yield _MESSAGES + _table({"": "messages"}, sorted(others))
    yield _MESSAGES_IGNORED.format(_listed(ignored))


def _names(*kinds: RequestKind) -> list[str]:
    return sorted(set().union(*(FIELDS[kind] for kind in kinds)))


def _uses(name: str) -> list[Use | None]:
    return [FIELDS[kind].get(name) for kind in _OPENAI.values()]


def _is_supported(name: str) -> bool:
    return any(isinstance(use, Supported | Alias | Unwrapped) for use in _uses(name))


def _is_everywhere(name: str, kind: type[Use]) -> bool:
    uses = _uses(name)
    return isinstance(uses[0], kind) and len(set(map(_cell, uses))) == 1


def _table(columns: Mapping[str, RequestKind], names: Iterable[str]) -> str:
    heads = ["field", *columns]
    rows = [[f"`{name}`", *_cells(name, columns)] for name in names]
    return "".join(f"| {' | '.join(row)} |\n" for row in [heads, ["---"] * len(heads), *rows])


def _cells(name: str, columns: Mapping[str, RequestKind]) -> list[str]:
    return [_cell(FIELDS[route].get(name)) for route in columns.values()]


def _cell(use: Use | None) -> str:
    match use:
        case Supported(note):
            return f"supported: {note}" if note else "supported"
        case Alias(of):
            return f"alias of `{of}`"
        case NoEffect():
            return "ignored"
        case Unwrapped():
            return "its members are read as request fields"
        case Rejected():
            return f"rejected, except {_accepted(use)}" if use.accepted_values else "rejected"
        case None:
            return "not a field"


def _accepted(use: Rejected) -> str:
    return ", ".join(f"`{json.dumps(value)}`" for value in use.accepted_values)


def _rejected_rows(names: Sequence[str]) -> Iterator[str]:
    """A row for each list of accepted values, those with most fields first."""
    groups: dict[str, list[str]] = {}
    for name in names:
        use = FIELDS["chat"][name]
        groups.setdefault(_accepted(use) if isinstance(use, Rejected) else "", []).append(name)
    for accepted in sorted(groups, key=lambda accepted: -len(groups[accepted])):
        yield f"| {accepted or 'none'} | {_listed(groups[accepted])} |\n"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))

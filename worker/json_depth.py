"""How deep JSON from outside may nest: one limit, whichever way it comes in.

What walks such a value afterwards (prompt, grammar, answer) can then recurse: Python gives up at a
thousand levels, and a JSON schema of a tool has ten or so.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from worker.errors import BadRequest

Json = Any  # A JSON value from outside.

DEEPEST = 100
"""Levels of lists and objects within each other."""


def too_deep(what: str) -> BadRequest:
    """The error for `what` ("The request's body")."""
    return BadRequest(f"{what} is nested more than {DEEPEST} levels deep.")


def check(value: Json, what: str) -> None:
    """Raises BadRequest for a value that nests deeper than `DEEPEST`. It does not recurse."""
    level = _nested([value])
    for _ in range(DEEPEST):
        if not level:
            return
        level = _nested(chain.from_iterable(v.values() if type(v) is dict else v for v in level))
    if level:
        raise too_deep(what)


def _nested(values: Iterable[Json]) -> list[Json]:
    return [value for value in values if type(value) in (dict, list)]

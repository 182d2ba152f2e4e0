"""The maximum nesting depth of client JSON, the same for every entrypoint.

Code that walks such a value later (prompt, grammar, answer) can then recurse safely: Python's
recursion limit is 1,000 levels, and a tool's JSON schema has about ten.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from worker.errors import BadRequest

Json = Any
"""A JSON value from outside."""

MAX_DEPTH = 100
"""Levels of nested arrays and objects."""


def too_deep(what: str) -> BadRequest:
    """The error for `what` ("The request body")."""
    return BadRequest(f"{what} must not be nested more than {MAX_DEPTH} levels deep.")


def check(value: Json, what: str) -> None:
    """Raises BadRequest if a value is nested deeper than `MAX_DEPTH`. Does not recurse."""
    level = _nested([value])
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = _nested(chain.from_iterable(v.values() if type(v) is dict else v for v in level))
    if level:
        raise too_deep(what)


def _nested(values: Iterable[Json]) -> list[Json]:
    return [value for value in values if type(value) in (dict, list)]

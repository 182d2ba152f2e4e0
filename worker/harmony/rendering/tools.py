"""Tools as Harmony shows them to the model: a TypeScript namespace.

Rule: no parameter of a tool is ever hidden from the model, whatever form its schema has; a schema
that is malformed is shown as far as it can be read. Half a character and NUL are shown as U+FFFD.
Source: openai/harmony, `template_tools_section`.
"""

import re
from collections.abc import Iterator, Sequence
from sys import float_info
from typing import Any

from worker.errors import BadRequest
from worker.harmony.conversation import Tool
from worker.harmony.rendering.json_schema import Unfolding
from worker.harmony.rendering.typescript import parameters
from worker.json_depth import DEEPEST

Json = Any  # A JSON value from outside: validated where it enters, walked here.


def tools_section(tools: Sequence[Tool]) -> str:
    """The developer message's section on the functions that the client offers.

    Raises BadRequest for a schema that is too deep, or that has a number which is none of JSON or
    which no double holds.
    """
    unfolding = Unfolding()
    lines = ["# Tools", "", "## functions", "", "namespace functions {", ""]
    for tool in tools:
        lines += _function(tool, unfolding)
    return "\n".join([*lines, "} // namespace functions"]).replace("\0", "\ufffd")


def _function(tool: Tool, unfolding: Unfolding) -> Iterator[str]:
    _check(tool.parameters)
    shown, descriptions = parameters(unfolding.inlined(tool.parameters))
    for description in (tool.description, *descriptions):
        yield from (f"// {line}" for line in _lines(description))
    taken = f"_: {shown}" if shown else ""
    yield f"type {tool.name} = ({taken}) => any;"
    yield ""


def _lines(text: str) -> list[str]:
    lines = re.split(r"\r?\n", text)
    return lines if lines[-1] else lines[:-1]


def _check(value: Json, level: int = 0) -> None:
    """Raises BadRequest for what neither a prompt nor JSON can hold."""
    if level > DEEPEST:
        raise BadRequest(f"tools: a schema of more than {DEEPEST} levels.", param="tools")
    if isinstance(value, dict):
        for item in value.values():
            _check(item, level + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, level + 1)
    elif isinstance(value, int | float) and not abs(value) <= float_info.max:
        raise BadRequest("tools: a number that is too large, or none.", param="tools")

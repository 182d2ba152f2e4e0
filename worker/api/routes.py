"""The table of routes: what answers where, and which API it belongs to.

A path is looked up once, where a request enters. The `RouteMatch` has all that the later hops need:
the API's dialect, what to do, and the parameters of the path and the query.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl

from worker.api import chat, completions, models
from worker.api.dialect import Action, Dialect, Generate, LookUp, Refuse
from worker.errors import MethodNotAllowed, NotFound

PREFIX = "/openai"
"""Optional before every path, as in RunPod's OpenAI-compatible URL."""
DEFAULT = chat.DIALECT
"""Formats the errors of a request whose route is unknown."""
OTHER = "other"
"""The label of every path that is not in the table."""


class Route(NamedTuple):
    """A row of the table. In `path`, `{id}` takes one segment, `{name:path}` all that are left."""

    method: str
    path: str
    dialect: Dialect
    action: Action

    @property
    def label(self) -> str:
        """The route as it is counted: there are few, whatever clients send."""
        return self.path.replace(":path}", "}")


ROUTES = (
    Route("POST", "/v1/chat/completions", chat.DIALECT, Generate(chat.read_request)),
    Route("POST", "/v1/completions", completions.DIALECT, Generate(completions.read_request)),
    Route("GET", "/v1/models", DEFAULT, LookUp(models.listed)),
    Route("GET", "/v1/models/{name:path}", DEFAULT, LookUp(models.named)),
    Route(
        "POST",
        "/v1/responses",
        DEFAULT,
        Refuse(lambda: NotFound("/v1/responses is not supported yet.", code="unknown_url")),
    ),
)


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """The route that a request's path and method stand for, and its parameters."""

    label: str
    dialect: Dialect
    action: Action
    params: Mapping[str, str]


def route_for(path: str, *, query: str = "", method: str | None = None) -> RouteMatch:
    """What answers at `path`, by its first method where none is given; one that refuses if there
    is nothing. `//openai/v1//models/a/b` is `/v1/models/{name:path}` with the name `a/b`."""
    shown = normal(path)
    found = list(_matching(shown))
    if not found:
        unknown = f"Unknown route: {path[:200]!r}."
        return RouteMatch(OTHER, DEFAULT, Refuse(lambda: NotFound(unknown, code="unknown_url")), {})
    asked = "GET" if method == "HEAD" else method
    for route, params in found:
        if asked is None or asked.upper() == route.method:
            given = {**dict(parse_qsl(query)), **params}
            return RouteMatch(route.label, route.dialect, route.action, given)
    route, params = found[0]
    taken = " and ".join(route.method for route, _ in found)
    wrong = f"method: {shown} takes {taken}, not {asked:.20}."
    refuse = Refuse(lambda: MethodNotAllowed(wrong, param="method"))
    return RouteMatch(route.label, route.dialect, refuse, params)


def normal(path: str) -> str:
    """A path as it stands in the table: without the prefix, and without doubled slashes."""
    return "/" + "/".join(part for part in path.removeprefix(PREFIX).split("/") if part)


def _matching(path: str) -> Iterator[tuple[Route, Mapping[str, str]]]:
    for route, pattern in _PATTERNS:
        if match := pattern.fullmatch(path):
            yield route, match.groupdict()


def _pattern(path: str) -> re.Pattern[str]:
    """`/v1/models/{name:path}` as `/v1/models/(?P<name>.+)`; no path has a character of regexes."""
    rest = re.sub(r"\{(\w+):path\}", r"(?P<\1>.+)", path)
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", rest), re.DOTALL)


_PATTERNS = [(route, _pattern(route.path)) for route in ROUTES]

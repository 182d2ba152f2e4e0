"""The route table: each route's method, path, dialect and action.

A path is looked up once, in the entrypoint. The `RouteMatch` carries everything that later code
needs: the dialect, the action, and the path and query parameters.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl

from worker.api import anthropic, chat, completions, models, responses
from worker.api.dialect import Action, Dialect, Generate, LookUp, Refuse
from worker.errors import MethodNotAllowed, NotFound

PREFIX = "/openai"
"""Optional before every path, as in RunPod's OpenAI-compatible URL."""
DEFAULT = chat.DIALECT
"""Formats the errors of a request whose route is unknown, and below none of `_FAMILIES`."""
_FAMILIES = {anthropic.PATH: anthropic.DIALECT}
"""The dialects of the paths at and below a prefix."""
OTHER = "other"
"""The label of every path that is not in the table."""


class Route(NamedTuple):
    """A row of the table. In `path`, `{id}` matches one segment, `{name:path}` all that follow."""

    method: str
    path: str
    dialect: Dialect
    action: Action

    @property
    def label(self) -> str:
        """The route's metrics label. There are few labels, whatever clients send."""
        return self.path.replace(":path}", "}")


ROUTES = (
    Route("POST", "/v1/chat/completions", chat.DIALECT, Generate(chat.read_request)),
    Route("POST", "/v1/completions", completions.DIALECT, Generate(completions.read_request)),
    Route("POST", "/v1/messages", anthropic.DIALECT, Generate(anthropic.read_request)),
    Route("POST", "/v1/messages/count_tokens", anthropic.DIALECT, LookUp(anthropic.count)),
    Route("GET", "/v1/models", DEFAULT, LookUp(models.listed)),
    Route("GET", "/v1/models/{name:path}", DEFAULT, LookUp(models.named)),
    Route("POST", "/v1/responses", responses.DIALECT, Generate(responses.read_request)),
    Route(
        "POST",
        "/v1/responses/input_tokens",
        responses.DIALECT,
        LookUp(responses.count_tokens),
    ),
    Route(
        "POST",
        "/v1/responses/compact",
        responses.DIALECT,
        Refuse(
            responses.not_offered(
                "/v1/responses/compact is not supported; ask for a summary with /v1/responses and "
                "go on from that."
            )
        ),
    ),
    Route("GET", "/v1/responses/{id}", responses.DIALECT, LookUp(responses.retrieved)),
    Route("DELETE", "/v1/responses/{id}", responses.DIALECT, LookUp(responses.deleted)),
    Route(
        "POST",
        "/v1/responses/{id}/cancel",
        responses.DIALECT,
        Refuse(
            responses.not_offered(
                "Only background responses can be cancelled, and there are none; close the "
                "connection, or cancel the job with RunPod's /cancel."
            )
        ),
    ),
    Route(
        "GET", "/v1/responses/{id}/input_items", responses.DIALECT, LookUp(responses.input_items)
    ),
)


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """The route that matches a request's path and method, and its parameters."""

    label: str
    dialect: Dialect
    action: Action
    params: Mapping[str, str]


def unknown_route(path: str) -> NotFound:
    """The error for a path that is not in the table: it lists those that are."""
    listed = ", ".join(f"{route.method} {route.label}" for route in ROUTES)
    message = f"Unknown route: {path[:200]!r}. The routes are {listed}."
    return NotFound(message, code="unknown_url")


def route_for(path: str, *, query: str = "", method: str | None = None) -> RouteMatch:
    """The match for `path`, with the path's first method if none is given. Without a match, its
    action is a `Refuse`. `//openai/v1//models/a/b` is `/v1/models/{name:path}` with the name `a/b`.
    """
    shown = normal(path)
    found = list(_matching(shown))
    if not found:
        refuse = Refuse(lambda: unknown_route(path))
        return RouteMatch(OTHER, _family(shown), refuse, {})
    asked = "GET" if method == "HEAD" else method
    for route, params in found:
        if asked is None or asked.upper() == route.method:
            given = {**dict(parse_qsl(query)), **params}
            return RouteMatch(route.label, route.dialect, route.action, given)
    route, params = found[0]
    taken = " and ".join(route.method for route, _ in found)
    wrong = f"{shown} does not support the method {asked:.20}; use {taken}."
    refuse = Refuse(lambda: MethodNotAllowed(wrong, param="method"))
    return RouteMatch(route.label, route.dialect, refuse, params)


def _family(path: str) -> Dialect:
    """The dialect of a path that is no route: of `/v1/messages/batches`, Anthropic's."""
    found = (d for prefix, d in _FAMILIES.items() if f"{path}/".startswith(f"{prefix}/"))
    return next(found, DEFAULT)


def normal(path: str) -> str:
    """Normalizes a path for lookup: removes the prefix and repeated slashes."""
    return "/" + "/".join(part for part in path.removeprefix(PREFIX).split("/") if part)


def _matching(path: str) -> Iterator[tuple[Route, Mapping[str, str]]]:
    for route, pattern in _PATTERNS:
        if match := pattern.fullmatch(path):
            yield route, match.groupdict()


def _pattern(path: str) -> re.Pattern[str]:
    """`/v1/models/{name:path}` as `/v1/models/(?P<name>.+)`; no path has regex characters."""
    rest = re.sub(r"\{(\w+):path\}", r"(?P<\1>.+)", path)
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", rest), re.DOTALL)


_PATTERNS = [(route, _pattern(route.path)) for route in ROUTES]

"""The table of routes: which API answers where."""

from collections.abc import Mapping

from worker.api import chat, completions
from worker.api.dialect import Dialect

ROUTES: Mapping[str, Dialect] = {
    "/v1/chat/completions": chat.DIALECT,
    "/v1/completions": completions.DIALECT,
}
"""What generates, by its path; it is asked by POST."""
MODELS = "/v1/models"
"""The list of models, asked by GET; one of them is at `/v1/models/NAME`."""
NOT_YET = ("/v1/responses",)
"""Known by name, and not served."""
PREFIX = "/openai"
"""Optional before every route, as in RunPod's OpenAI-compatible URL."""
DEFAULT = chat.DIALECT
"""Words the errors of a request whose route is unknown."""


def normal(route: str) -> str:
    """A route as it stands in the table: without the prefix, a query and doubled slashes."""
    parts = route.partition("?")[0].removeprefix(PREFIX).split("/")
    return "/" + "/".join(part for part in parts if part)


def method_of(route: str) -> str | None:
    """The method that a route takes, or None if there is no such route."""
    path = normal(route)
    if path in ROUTES or path in NOT_YET:
        return "POST"
    return "GET" if path == MODELS or path.startswith(f"{MODELS}/") else None


def label(route: str) -> str:
    """A route as it is counted: there are few, whatever clients send."""
    path = normal(route)
    if path.startswith(f"{MODELS}/"):
        return f"{MODELS}/{{name}}"
    return "other" if method_of(path) is None else path


def dialect_of(route: str) -> Dialect:
    """The dialect in which an answer at `route` is worded, an error included."""
    return ROUTES.get(normal(route), DEFAULT)

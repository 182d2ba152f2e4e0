"""The API's documentation, with API_DOCS=true: /openapi.json, and /docs to read it in a browser.

`openapi.json` is made by `python -m builder.openapi`. `api_docs.html` shows it and loads nothing
from elsewhere. With API_KEY set, both stay readable without a key: they say what is in this
project's repository, and a browser has no way to send a key for a page.
"""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

_FOLDER = Path(__file__).parent
_FILES = {"/docs": _FOLDER / "api_docs.html", "/openapi.json": _FOLDER / "openapi.json"}
DOCS_PATHS = frozenset(_FILES)


def docs_routes() -> list[Route]:
    """A route for each of `DOCS_PATHS`."""

    async def file(request: Request) -> FileResponse:
        return FileResponse(_FILES[request.scope["path"]])

    return [Route(path, file) for path in _FILES]

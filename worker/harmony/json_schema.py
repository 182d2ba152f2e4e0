"""JSON schemas with their local references resolved.

Rule: a schema that refers to itself is cut at the second round, since neither a prompt nor a
TypeScript type can hold an endless one.
"""

from typing import Any
from urllib.parse import unquote

Json = Any  # A JSON value from outside.

_DEFINITIONS = ("$defs", "definitions")


def inlined(schema: Json) -> Json:
    """`schema` with every local `$ref` (`#/…`) replaced by what it names.

    Keywords beside a `$ref` win over those of its target (JSON Schema 2020-12). A reference that
    cannot be resolved, or that is being resolved already, becomes `{}`: anything.
    """
    return _inlined(schema, schema, ())


def _inlined(node: Json, root: Json, open_refs: tuple[str, ...]) -> Json:
    if isinstance(node, list):
        return [_inlined(item, root, open_refs) for item in node]
    if not isinstance(node, dict):
        return node
    own = {k: _inlined(v, root, open_refs) for k, v in node.items() if k not in _DEFINITIONS}
    ref = own.pop("$ref", None)
    if not isinstance(ref, str):
        return own
    target = {} if ref in open_refs else _resolve(ref, root)
    resolved = _inlined(target, root, (*open_refs, ref))
    return {**resolved, **own} if isinstance(resolved, dict) else own


def _resolve(ref: str, root: Json) -> Json:
    """What a JSON pointer (RFC 6901, as a URI fragment) names in `root`; `{}` if nothing."""
    node = root
    if not ref.startswith("#"):
        return {}
    for part in unquote(ref[1:]).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(node, dict) or key not in node:
            return {}
        node = node[key]
    return node

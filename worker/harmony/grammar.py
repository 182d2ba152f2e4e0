"""What a completion must look like where the caller wants it certain: an xgrammar structural tag.

Rules: the grammar holds from the completion's first token. Analysis and preambles stay free; only
the message that ends the turn is bound, to a call or to an answer; where it is complete, xgrammar
admits the stop tokens alone, which are therefore not part of it. Where the answer may be JSON there
is no preamble: it is content, and the content must be the JSON and nothing else. Markers are token
ids in it, so no text can be taken for one. A schema that the grammar cannot hold is refused by its
keyword where the caller says `strict`; else it is held where it can be, and JSON of its type.
Source: xgrammar's structural tags (0.2.7), through SGLang's `structural_tag` sampling parameter.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from worker.errors import BadRequest
from worker.harmony.schema_support import as_held, unsupported
from worker.harmony.tool_names import recipient
from worker.harmony.vocabulary import (
    CHANNEL,
    CONSTRAIN,
    END,
    ENDOFPROMPT,
    FIRST_SPECIAL,
    MESSAGE,
    START,
)

Json = Any  # A JSON value of the request, validated by worker.api.
Format = dict[str, Any]
"""A format of xgrammar's structural tags."""

_SPECIALS = list(range(FIRST_SPECIAL, ENDOFPROMPT + 1))
_SPACE = 20
"""How many spaces in a row JSON may have: enough to indent, too few to ramble."""
ANY_OBJECT: Format = {"type": "object"}


def structural_tag(request: Mapping[str, Json], *, headers: bool = False) -> str | None:
    """The grammar that a chat completion request asks for, as JSON; None if it asks for none.

    With `headers`, a request that offers tools and asks for nothing has its headers held alone:
    channels, recipients among the tools, content type; arguments and texts stay free.
    Raises BadRequest for a tool that is not offered or a schema that cannot be held.
    """
    offered = {tool["function"]["name"]: tool["function"] for tool in request.get("tools") or []}
    mode, names = _choice(request.get("tool_choice"), offered)
    wanted = _structured(request.get("structured_outputs"))
    if wanted is None:
        schema = _answer_schema(request.get("response_format"))
        wanted = None if schema is None else _json(schema)
    body = None if mode == "required" else wanted
    strict = any(offered[name].get("strict") for name in names)
    free = mode == "auto" and len(names) == len(offered) and not strict
    if body is None and (free or (mode == "none" and not offered)):
        if not headers or not names:
            return None
        ends = [_sequence(_call_header(name), _any_text()) for name in names]
    else:
        ends = [_call(offered[name], forced=mode == "required") for name in names]
    if mode != "required":
        ends.append(_answer(body))
    before = _free_messages(["analysis", "commentary"] if body is None else ["analysis"])
    return json.dumps({"type": "structural_tag", "format": _sequence(before, _either(ends))})


def _choice(choice: Json, offered: Mapping[str, Json]) -> tuple[str, Sequence[str]]:
    """What `tool_choice` asks: auto, required or none, and among which tools."""
    if choice is None or choice == "auto":
        return "auto", list(offered)
    if choice == "none":
        return "none", []
    if choice == "required":
        return "required", _known(list(offered), offered)
    if choice["type"] == "function":
        return "required", _known([choice["function"]["name"]], offered)
    allowed = choice["allowed_tools"]
    return allowed["mode"], _known([tool["function"]["name"] for tool in allowed["tools"]], offered)


def _known(names: list[str], offered: Mapping[str, Json]) -> list[str]:
    for name in names:
        if name not in offered:
            raise BadRequest(f"tool_choice: {name!r} is not among the tools.", param="tool_choice")
    if not names:
        raise BadRequest(
            "tool_choice asks for a call, but no tool is offered.", param="tool_choice"
        )
    return names


def _answer_schema(response_format: Json) -> Json | None:
    """The schema that the final answer must follow, or None if it is free text."""
    if response_format is None or response_format["type"] == "text":
        return None
    if response_format["type"] == "json_object":
        schema = response_format.get("schema") or ANY_OBJECT
        return _root(schema) if unsupported(schema) else schema
    wanted = response_format["json_schema"]
    schema = wanted.get("schema")
    if schema is None:
        return ANY_OBJECT
    if wanted.get("strict"):
        _check(schema, "response_format.json_schema.schema")
    return _root(schema) if unsupported(schema) else schema


def _structured(outputs: Mapping[str, Json] | None) -> Format | None:
    """The body that `structured_outputs` asks for: one of a schema, any object, a regular
    expression, a choice of texts, or an EBNF grammar whose rule is `root`."""
    match outputs:
        case None:
            return None
        case {"json": schema}:
            return _json(_root(schema) if unsupported(schema) else schema)
        case {"json_object": _}:
            return _json(ANY_OBJECT)
        case {"regex": pattern}:
            return {"type": "regex", "pattern": pattern}
        case {"choice": texts}:
            return _either([_text(text) for text in texts])
        case {"grammar": ebnf}:
            return {"type": "grammar", "grammar": ebnf}
        case _:
            raise BadRequest(
                "structured_outputs takes one of json, json_object, regex, choice and grammar.",
                param="structured_outputs",
            )


def _root(schema: Mapping[str, Json]) -> Format:
    """What can be held of any schema: the type of the whole."""
    root = {"type": schema.get("type", "object")}
    return ANY_OBJECT if unsupported(root) else root


def _check(schema: Json, param: str) -> None:
    if problem := unsupported(schema):
        raise BadRequest(
            f"{param}: the keyword {problem.keyword!r} (at {problem.path or '/'}) cannot be "
            "guaranteed; leave it out or do not ask for strict output.",
            param=param,
            code="unsupported_schema",
        )


def _call(function: Mapping[str, Json], *, forced: bool) -> Format:
    """A call of one tool. Strict arguments follow the schema; forced ones do where they can."""
    schema = function.get("parameters") or {**ANY_OBJECT, "properties": {}}
    if function.get("strict"):
        _check(schema, f"tools: {function['name']}.parameters")
    elif not forced or unsupported(schema):
        schema = ANY_OBJECT
    return _sequence(_call_header(function["name"]), _json(schema))


def _call_header(name: str) -> Format:
    return _sequence(
        _token(CHANNEL),
        _text(f"commentary to={recipient(name, [name])} "),
        _token(CONSTRAIN),
        _text("json"),
        _token(MESSAGE),
    )


def _answer(body: Format | None) -> Format:
    """The final message. One that is held may announce its type, as the model does by itself."""
    announced = _sequence(_text(" "), _token(CONSTRAIN), _text("json"))
    kind = [] if body is None else [{"type": "optional", "content": announced}]
    return _sequence(_token(CHANNEL), _text("final"), *kind, _token(MESSAGE), body or _any_text())


def _free_messages(names: Sequence[str]) -> Format:
    """Any number of messages on these channels, each followed by the next message's start."""
    channels = _either([_text(name) for name in names])
    message = _sequence(
        *(_token(CHANNEL), channels, _token(MESSAGE), _any_text()),
        *(_token(END), _token(START), _text("assistant")),
    )
    return {"type": "star", "content": message}


def _any_text() -> Format:
    return {"type": "any_tokens", "exclude_tokens": _SPECIALS}


def _json(schema: Json) -> Format:
    return {"type": "json_schema", "json_schema": as_held(schema), "max_whitespace_cnt": _SPACE}


def _text(value: str) -> Format:
    return {"type": "const_string", "value": value}


def _token(token: int) -> Format:
    return {"type": "token", "token": token}


def _sequence(*elements: Format) -> Format:
    return {"type": "sequence", "elements": list(elements)}


def _either(elements: Sequence[Format]) -> Format:
    return elements[0] if len(elements) == 1 else {"type": "or", "elements": list(elements)}

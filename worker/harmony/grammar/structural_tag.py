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
from worker.harmony.conversation import (
    AnswerForm,
    ChoiceAnswer,
    GrammarAnswer,
    JsonAnswer,
    RegexAnswer,
    Tool,
    Wanted,
)
from worker.harmony.grammar.schema_support import as_held, unsupported
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


def structural_tag(wanted: Wanted, *, headers: bool = False) -> str | None:
    """The grammar of a completion that is what is `wanted`, as JSON; None if anything is.

    With `headers`, a turn that may call tools and from which nothing is asked has its headers held
    alone: channels, recipients among the tools, content type; arguments and texts stay free.
    Raises BadRequest for a schema that cannot be held.
    """
    tools = _callable(wanted)
    forced = wanted.calls == "required"
    body = None if forced or wanted.answer is None else _body(wanted.answer)
    every = len(tools) == len({tool.name for tool in wanted.tools})
    free = wanted.calls == "auto" and every and not any(tool.strict for tool in tools)
    if body is None and (free or (wanted.calls == "none" and not wanted.tools)):
        if not headers or not tools:
            return None
        ends = [_sequence(_call_header(tool.name), _any_text()) for tool in tools]
    else:
        ends = [_call(tool, forced=forced) for tool in tools]
    if not forced:
        ends.append(_answer(body))
    before = _free_messages(["analysis", "commentary"] if body is None else ["analysis"])
    return json.dumps({"type": "structural_tag", "format": _sequence(before, _either(ends))})


def _callable(wanted: Wanted) -> Sequence[Tool]:
    """The tools that may be called."""
    if wanted.calls == "none":
        return ()
    offered = {tool.name: tool for tool in wanted.tools}  # the last one of a name is meant
    names = offered if wanted.among is None else wanted.among
    return [offered[name] for name in names]


def _body(answer: AnswerForm) -> Format:
    """The body of a final message of that form."""
    match answer:
        case JsonAnswer(None):
            return _json(ANY_OBJECT)
        case JsonAnswer(schema, strict):
            if strict:
                _check(schema, answer.field)
            return _json(_root(schema) if unsupported(schema) else schema)
        case RegexAnswer(pattern):
            return {"type": "regex", "pattern": pattern}
        case ChoiceAnswer(texts):
            return _either([_text(text) for text in texts])
        case GrammarAnswer(ebnf):
            return {"type": "grammar", "grammar": ebnf}


def _root(schema: Mapping[str, Json]) -> Format:
    """What can be held of any schema: the type of the whole."""
    root = {"type": schema.get("type", "object")}
    return ANY_OBJECT if unsupported(root) else root


def _check(schema: Json, param: str | None) -> None:
    if problem := unsupported(schema):
        raise BadRequest(
            f"{param}: the keyword {problem.keyword!r} (at {problem.path or '/'}) cannot be "
            "guaranteed; leave it out or do not ask for strict output.",
            param=param,
            code="unsupported_schema",
        )


def _call(tool: Tool, *, forced: bool) -> Format:
    """A call of one tool. Strict arguments follow the schema; forced ones do where they can."""
    schema = tool.parameters or {**ANY_OBJECT, "properties": {}}
    if tool.strict:
        _check(schema, f"tools: {tool.name}.parameters")
    elif not forced or unsupported(schema):
        schema = ANY_OBJECT
    return _sequence(_call_header(tool.name), _json(schema))


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

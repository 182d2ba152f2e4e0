"""What a completion must look like where the caller wants it certain: an xgrammar structural tag.

Rules: the grammar holds from the completion's first token. Analysis and preambles stay free; only
the message that ends the turn is bound, to a call or to an answer; where it is complete, xgrammar
admits the stop tokens alone, which are therefore not part of it. Where the answer may be JSON there
is no preamble: it is content, and the content must be the JSON and nothing else. Markers are token
ids in it, so no text can be taken for one. A schema that the grammar cannot hold is refused by its
keyword where the caller says `strict`; else it is held where it can be, and JSON of its type.
Where tools are offered and nothing is asked, the headers can be held, and they alone: every body is
free text then, and who makes the tokens may do without such a grammar (`holds_headers_alone`).
Source: xgrammar's structural tags (0.2.7), through SGLang's `structural_tag` sampling parameter.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
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
from worker.harmony.grammar.schema_pattern import LARGEST, WIDE, size
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
_NAMES = 2**16
"""How many characters the tools' names may have for headers to be held. 1,000 tools have 20,000 and
take half a second to compile, 5,000 take five; nobody asked for this grammar."""


def structural_tag(wanted: Wanted, *, headers: bool = False) -> str | None:
    """The grammar of a completion that is what is `wanted`, as JSON; None if anything is.

    With `headers`, a turn that may call tools and from which nothing is asked has its headers held
    alone: channels, recipients among the tools, content type; arguments and texts stay free.
    Raises BadRequest for a schema that cannot be held.
    """
    tools = _callable(wanted)
    forced = wanted.calls == "required"
    body = None if forced or wanted.answer is None else _body(wanted.answer)
    before = [_free(channel) for channel in ("analysis", "commentary")[: 2 if body is None else 1]]
    every = len(tools) == len({tool.name for tool in wanted.tools})
    free = wanted.calls == "auto" and every and not any(tool.strict for tool in tools)
    if body is None and (free or (wanted.calls == "none" and not wanted.tools)):
        names = [tool.name for tool in tools]
        if not headers or not 0 < sum(map(len, names)) <= _NAMES:
            return None
        ends = [_sequence(_call_header(names), _any_text())]
        before += ends  # The model may end a call as it ends a preamble, and make another.
    else:
        ends = [_call(tool, forced=forced) for tool in tools]
    if not forced:
        ends.append(_answer(body))
    whole = _sequence(_messages(before), _either(ends))
    return json.dumps({"type": "structural_tag", "format": whole})


def holds_headers_alone(tag: str) -> bool:
    """Whether in a structural tag of ours every `<|message|>` leads to free text."""
    formats = list(_formats(json.loads(tag)["format"]))
    bodies = sum(each.get("token") == MESSAGE for each in formats)
    return bodies == sum(each["type"] == "any_tokens" for each in formats)


def _formats(whole: Format) -> Iterator[Format]:
    yield whole
    for part in (*whole.get("elements", ()), *([whole["content"]] if "content" in whole else ())):
        yield from _formats(part)


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
            _check_size(pattern)
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


def _check_size(pattern: str) -> None:
    if size(pattern) > LARGEST:
        raise BadRequest(
            f"structured_outputs: the regular expression spells out more than {LARGEST // WIDE} "
            "characters of any kind, repetitions counted, and would take too long to compile.",
            param="structured_outputs",
            code="unsupported_schema",
        )


def _call(tool: Tool, *, forced: bool) -> Format:
    """A call of one tool. Strict arguments follow the schema; forced ones do where they can."""
    schema = tool.parameters or {**ANY_OBJECT, "properties": {}}
    if tool.strict:
        _check(schema, f"tools: {tool.name}.parameters")
    elif not forced or unsupported(schema):
        schema = ANY_OBJECT
    return _sequence(_call_header([tool.name]), _json(schema))


def _call_header(names: Sequence[str]) -> Format:
    """The header of a call of one of these tools. What they share is one format, so that it
    compiles in a time that grows with their number alone."""
    return _sequence(
        *(_token(CHANNEL), _text("commentary to=")),
        _either([_text(recipient(name, [name])) for name in names]),
        *(_text(" "), _token(CONSTRAIN), _text("json"), _token(MESSAGE)),
    )


def _answer(body: Format | None) -> Format:
    """The final message. One that is held may announce its type, as the model does by itself."""
    announced = _sequence(_text(" "), _token(CONSTRAIN), _text("json"))
    kind = [] if body is None else [{"type": "optional", "content": announced}]
    return _sequence(_token(CHANNEL), _text("final"), *kind, _token(MESSAGE), body or _any_text())


def _free(channel: str) -> Format:
    """A message of free text on this channel, to no one."""
    return _sequence(_token(CHANNEL), _text(channel), _token(MESSAGE), _any_text())


def _messages(kinds: Sequence[Format]) -> Format:
    """Any number of such messages, each followed by the next message's start."""
    message = _sequence(_either(kinds), _token(END), _token(START), _text("assistant"))
    return {"type": "star", "content": message}


def _any_text() -> Format:
    return {"type": "any_tokens", "exclude_tokens": _SPECIALS}


def _json(schema: Json) -> Format:
    held = as_held(schema)
    return {"type": "json_schema", "json_schema": _readable(held), "max_whitespace_cnt": _SPACE}


def _readable(value: Json) -> Json:
    """A schema with U+FFFD, as a prompt shows it, for what xgrammar cannot read in a text: NUL,
    and half of a character that UTF-16 has in two (`\ud83d`, cut from an emoji)."""
    match value:
        case str():
            return (
                value.replace("\0", "\ufffd")
                .encode("utf-16", "surrogatepass")
                .decode("utf-16", "replace")
            )
        case dict():
            return {_readable(key): _readable(inner) for key, inner in value.items()}
        case list():
            return [_readable(inner) for inner in value]
        case _:
            return value


def _text(value: str) -> Format:
    return {"type": "const_string", "value": value}


def _token(token: int) -> Format:
    return {"type": "token", "token": token}


def _sequence(*elements: Format) -> Format:
    return {"type": "sequence", "elements": list(elements)}


def _either(elements: Sequence[Format]) -> Format:
    return elements[0] if len(elements) == 1 else {"type": "or", "elements": list(elements)}

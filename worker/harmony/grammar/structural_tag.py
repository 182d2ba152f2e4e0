"""The grammar that a constrained completion must follow, as an xgrammar structural tag.

Rules:
- The grammar applies from the completion's first token. Analysis and preambles are unconstrained;
  only the message that ends the turn is constrained, to a call or to an answer. Once it is
  complete, xgrammar admits only the stop tokens, which are therefore not part of the grammar.
- Where the answer may be JSON there is no preamble: a preamble is content, and the content must be
  the JSON and nothing else.
- Markers are token ids in the grammar, so text can never pass for a marker.
- If the grammar cannot enforce a schema, a `strict` request is rejected with the keyword's name;
  for any other request, the grammar enforces only JSON of the schema's type.
- If tools are offered and no constraint is requested, the headers alone can be constrained. Every
  body is free text then, and the engine may do without such a grammar
  (`CompletionGrammar.headers_only`).
Source: xgrammar's structural tags (0.2.7), through SGLang's `structural_tag` sampling parameter.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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
from worker.harmony.grammar.schema_pattern import MAX_SIZE, WIDE, size
from worker.harmony.grammar.schema_support import for_xgrammar, unsupported
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
from worker.json_depth import Json

Format = dict[str, Any]
"""A format object of an xgrammar structural tag."""

_SPECIALS = list(range(FIRST_SPECIAL, ENDOFPROMPT + 1))
_MAX_WHITESPACE = 20
"""How many whitespace characters JSON may have in a row: enough to indent, too few to run away."""
ANY_OBJECT: Format = {"type": "object"}
_MAX_NAMES_LENGTH = 2**16
"""Headers are constrained only if the tool names have at most this many characters in total. 1,000
tools have 20,000 and take half a second to compile, 5,000 tools take five, which is too long for a
grammar that the client did not ask for."""


class CompletionGrammar(NamedTuple):
    """What constrains a completion. `tag`: xgrammar's structural tag, as JSON text.

    `headers_only`: the client did not ask for it and every body is free text, so a request must not
    fail because of it. The tag has a member of that name, for the process that compiles it.
    """

    tag: str
    headers_only: bool = False


def grammar_of(wanted: Wanted, *, headers: bool = False) -> CompletionGrammar | None:
    """The grammar of a completion as `wanted`; None if any completion is allowed.

    With `headers`, a turn that may call tools and is not constrained otherwise gets a grammar of
    its headers: channels, recipients among the tools, content type. Arguments and texts stay free.
    Raises BadRequest for a strict schema that cannot be enforced, or a regular expression that is
    too expensive to compile.
    """
    tools = _callable(wanted)
    forced = wanted.tool_choice == "required"
    body = None if forced or wanted.answer is None else _body(wanted.answer)
    before = [
        _text_message(channel) for channel in ("analysis", "commentary")[: 2 if body is None else 1]
    ]
    every = len(tools) == len({tool.name for tool in wanted.tools})
    free = wanted.tool_choice == "auto" and every and not any(tool.strict for tool in tools)
    headers_only = body is None and (free or (wanted.tool_choice == "none" and not wanted.tools))
    if headers_only:
        names = [tool.name for tool in tools]
        if not headers or not 0 < sum(map(len, names)) <= _MAX_NAMES_LENGTH:
            return None
        ends = [_sequence(_call_header(names), _any_text())]
        before += ends  # The model may end a call as it ends a preamble, and make another.
    else:
        ends = [_call(tool, forced=forced) for tool in tools]
    if not forced:
        ends.append(_answer(body))
    whole = _sequence(_messages(before), _either(ends))
    tag = {"type": "structural_tag", "headers_only": headers_only, "format": whole}
    # Interned: streams with the same tools hold one text, of 25 kB with 200 tools.
    return CompletionGrammar(sys.intern(json.dumps(tag)), headers_only)


def is_headers_only(tag: str) -> bool:
    """`CompletionGrammar.headers_only` of a tag that has come from another process."""
    return json.loads(tag).get("headers_only", False)


def _callable(wanted: Wanted) -> Sequence[Tool]:
    """The tools that may be called."""
    if wanted.tool_choice == "none":
        return ()
    offered = {tool.name: tool for tool in wanted.tools}  # the last of several with one name
    names = offered if wanted.among is None else wanted.among
    return [offered[name] for name in names]


def _body(answer: AnswerForm) -> Format:
    """The body of a final message in the form of `answer`."""
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
    """What can be enforced of any schema: its top-level type."""
    root = {"type": schema.get("type", "object")}
    return ANY_OBJECT if unsupported(root) else root


def _check(schema: Json, param: str | None) -> None:
    if problem := unsupported(schema):
        raise BadRequest(
            f"{param}: the keyword {problem.keyword!r} (at {problem.path or '/'}) cannot be "
            "enforced; remove it or set strict to false.",
            param=param,
            code="unsupported_schema",
        )


def _check_size(pattern: str) -> None:
    if size(pattern) > MAX_SIZE:
        raise BadRequest(
            "structured_outputs: the regular expression expands to more than the equivalent of "
            f"{MAX_SIZE // WIDE} wildcards, counting repetitions, and would take too long to "
            "compile; use fewer repetitions.",
            param="structured_outputs",
            code="unsupported_schema",
        )


def _call(tool: Tool, *, forced: bool) -> Format:
    """A call of one tool. Strict arguments follow the schema; so do forced ones if it can be
    enforced."""
    schema = tool.parameters or {**ANY_OBJECT, "properties": {}}
    if tool.strict:
        _check(schema, f"tools: {tool.name}.parameters")
    elif not forced or unsupported(schema):
        schema = ANY_OBJECT
    return _sequence(_call_header([tool.name]), _json(schema))


def _call_header(names: Sequence[str]) -> Format:
    """The header of a call of one of these tools. The common parts are one format, so that compile
    time grows only with the number of tools."""
    return _sequence(
        *(_token(CHANNEL), _text("commentary to=")),
        _either([_text(recipient(name, [name])) for name in names]),
        *(_text(" "), _token(CONSTRAIN), _text("json"), _token(MESSAGE)),
    )


def _answer(body: Format | None) -> Format:
    """The final message. A constrained one may state its content type, as the model does."""
    announced = _sequence(_text(" "), _token(CONSTRAIN), _text("json"))
    kind = [] if body is None else [{"type": "optional", "content": announced}]
    return _sequence(_token(CHANNEL), _text("final"), *kind, _token(MESSAGE), body or _any_text())


def _text_message(channel: str) -> Format:
    """A message of free text on this channel, without a recipient."""
    return _sequence(_token(CHANNEL), _text(channel), _token(MESSAGE), _any_text())


def _messages(kinds: Sequence[Format]) -> Format:
    """Any number of messages of these kinds, each followed by the start of the next message."""
    message = _sequence(_either(kinds), _token(END), _token(START), _text("assistant"))
    return {"type": "star", "content": message}


def _any_text() -> Format:
    return {"type": "any_tokens", "exclude_tokens": _SPECIALS}


def _json(schema: Json) -> Format:
    return {
        "type": "json_schema",
        "json_schema": _without_unreadable(for_xgrammar(schema)),
        "max_whitespace_cnt": _MAX_WHITESPACE,
    }


def _without_unreadable(value: Json) -> Json:
    """A schema with U+FFFD, as in a prompt, in place of characters that xgrammar cannot read: NUL,
    and unpaired surrogates (`\ud83d`, cut from an emoji)."""
    match value:
        case str():
            return (
                value.replace("\0", "\ufffd")
                .encode("utf-16", "surrogatepass")
                .decode("utf-16", "replace")
            )
        case dict():
            return {
                _without_unreadable(key): _without_unreadable(inner) for key, inner in value.items()
            }
        case list():
            return [_without_unreadable(inner) for inner in value]
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

"""Tool schemas as the TypeScript that gpt-oss reads: nothing of them is lost."""

from typing import Any

import pytest

from worker.errors import BadRequest
from worker.harmony.json_schema import inlined
from worker.harmony.tools import LONGEST_WORD, tools_content
from worker.harmony.vocabulary import encoding


def shown(schema: dict[str, Any]) -> str:
    """How a property `p` of this schema is shown to the model."""
    from openai_harmony import Message, Role

    parameters = {"type": "object", "properties": {"p": schema}, "$defs": schema.pop("$defs", {})}
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    content = tools_content([tool])
    text = encoding().decode(
        encoding().render(Message.from_role_and_content(Role.DEVELOPER, content))
    )
    return text.partition("type f = (_: {\n")[2].partition("\n}) => any;")[0]


@pytest.mark.parametrize(
    ("schema", "typescript"),
    [
        ({"type": "string"}, "p?: string,"),
        ({"type": "integer", "default": 3}, "p?: number, // default: 3"),
        ({"type": "string", "enum": ["a", "b"]}, 'p?: "a" | "b",'),
        ({"enum": ["a", "b"]}, 'p?: "a" | "b",'),
        ({"const": "a"}, 'p?: "a",'),
        ({"type": "integer", "enum": [1, 2]}, "// One of: 1, 2\np?: number,"),
        (
            {"type": "integer", "enum": [1, 2], "description": "How many."},
            "// How many. One of: 1, 2\np?: number,",
        ),
        ({"type": ["string", "null"]}, "p?: string | null,"),
        ({"type": "array", "items": {"type": "string"}}, "p?: string[],"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "p?: string | null,"),
        (
            {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
            "p?:\n | string\n | number | null\n,",
        ),
        ({"oneOf": [{"type": "string"}, {"type": "boolean"}]}, "p?:\n | string\n | boolean\n,"),
        ({"anyOf": "nonsense"}, "p?: any,"),
        ({"allOf": [{"type": "string", "description": "A name."}]}, "// A name.\np?: string,"),
        (
            {"$ref": "#/$defs/City", "$defs": {"City": {"type": "string", "enum": ["Oslo"]}}},
            'p?: "Oslo",',
        ),
        (
            {"type": "object", "properties": {"q": {"type": "boolean"}}, "required": ["q"]},
            "p?: {\n    q: boolean,\n    },",
        ),
    ],
)
def test_a_schema_is_shown_whole(schema: dict[str, Any], typescript: str) -> None:
    """Also in the forms that OpenAI's renderer does not know by itself."""
    assert shown(schema) == typescript


def test_a_schema_that_holds_itself_is_cut() -> None:
    """At the second round."""
    schema = {
        "$ref": "#/$defs/Node",
        "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
    }
    assert inlined(schema) == {"type": "object", "properties": {"next": {}}}


@pytest.mark.parametrize("ref", ["#/nowhere", "https://example.org/schema", "#/$defs/a~1b"])
def test_a_reference_to_nothing_is_anything(ref: str) -> None:
    """It is the client's schema: the model sees `any`."""
    assert inlined({"$ref": ref}) == {}


def test_keywords_beside_a_reference_win() -> None:
    """JSON Schema 2020-12."""
    schema = {"$ref": "#/$defs/a", "description": "mine", "$defs": {"a": {"description": "its"}}}
    assert inlined(schema) == {"description": "mine"}


def test_half_a_character_is_shown_as_a_replacement() -> None:
    """As it is everywhere else: JavaScript clients cut texts within an emoji."""
    assert shown({"type": "string", "description": "a \ud83d"}).startswith("// a \ufffd\n")


@pytest.mark.parametrize("letter", ["a", "\N{GRINNING FACE}", "\n", "e\u0301"])
def test_a_word_that_never_ends_is_refused(letter: str) -> None:
    """OpenAI's renderer would take minutes for it, or crash."""
    word = (letter * LONGEST_WORD)[:LONGEST_WORD]
    assert shown({"type": "string", "description": word})
    with pytest.raises(BadRequest, match="a word of more than 2000 characters"):
        shown({"type": "string", "description": word + letter})

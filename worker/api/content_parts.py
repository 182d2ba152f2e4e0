"""The `content` of a message, as OpenAI's APIs write it: null, a string, or an array of parts.

gpt-oss reads text only. In what a person says, any other part is an error that names it. In a tool
result it becomes a placeholder: an error would fail every later turn of a session whose tool once
returned an image (Codex's `view_image`).
"""

from collections.abc import Callable
from typing import Any, Literal

from worker.api.fields import Fields, json_type


class TextPart(Fields):
    type: Literal["text", "input_text", "output_text"]
    text: str


class RefusalPart(Fields):
    type: Literal["refusal"]
    refusal: str


ContentField = str | list[TextPart | RefusalPart] | None
"""What `text_of` accepts, for the OpenAPI document; its own errors say more."""

_FIELDS = {"refusal": "refusal", **dict.fromkeys(("text", "input_text", "output_text"), "text")}
"""The types of parts that are text, and the field that each has it in."""
_MEDIA = {"input_image": "image", "input_file": "file", "input_audio": "audio"}


def text_of(content: Any) -> str:
    """The text of `content`, that of parts joined by newlines.

    Raises ValueError for anything else: `[{"type": "image_url", …}]`.
    """
    return _joined(content, _reject)


def text_of_result(content: Any) -> str:
    """The text of a tool result, in which `[{"type": "input_image", …}]` is a placeholder.

    Raises ValueError for what is not text, an image, a file or audio.
    """
    return _joined(content, _media)


def _joined(content: Any, other: Callable[[str], str]) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise ValueError("must be a string, an array of parts or null")
    return "\n".join(_part_text(part, other) for part in content)


def _part_text(part: Any, other: Callable[[str], str]) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise ValueError(f"must contain only objects with a type and a text, not {json_type(part)}")
    if (name := _FIELDS.get(kind)) is None:
        return other(kind)
    text = part.get(name)
    if not isinstance(text, str):
        raise ValueError(f"a part's {name} must be a string, not {json_type(text)}")
    return text


def _reject(kind: str) -> str:
    raise ValueError(f"{kind[:40]!r} parts are not supported: gpt-oss reads text only")


def _media(kind: str) -> str:
    if kind not in _MEDIA:
        _reject(kind)
    return placeholder(_MEDIA[kind])


def placeholder(medium: str) -> str:
    """What the model reads of an `image`, a `file` and the like in a tool result, in any API."""
    return f"[{medium}: gpt-oss reads only text]"

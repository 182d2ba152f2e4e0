"""The response to a text completion request: its chunks, and the object that they fold into.

Rule: a non-streamed answer is the fold of its chunks. Choices are numbered like OpenAI's: those of
the first prompt come first.
Source: https://platform.openai.com/docs/api-reference/completions/object.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from worker.api import openai
from worker.api.dialect import Head, Object
from worker.errors import WorkerError
from worker.harmony.events import Text
from worker.harmony.vocabulary import FIRST_SPECIAL, token_bytes
from worker.turn import TextLogprob, TurnOutput, Usage


class CompletionAnswer:
    """Builds the chunks of one answer. OpenAI uses the same shape for chunks and whole answers.

    `echoes`: for each choice, the prompt text to send first. `usage`: end with a usage chunk.
    `null_usage`: all other chunks have `"usage": null`.
    """

    def __init__(self, head: Head, *, echoes: Sequence[str], usage: bool, null_usage: bool) -> None:
        self._head = {
            "id": f"cmpl-{head.id}",
            "object": "text_completion",
            "created": head.created,
            "model": head.model,
        }
        self._echoes = dict(enumerate(echoes))
        self._usage = usage
        self._null_usage = null_usage

    def take(self, turn: int, output: TurnOutput) -> list[Object]:
        """The chunk for a step of choice `turn`, or none if it is empty."""
        text = "".join(event.text for event in output.events if isinstance(event, Text))
        text = self._echoes.pop(turn, "") + text
        ending = output.ending
        if not text and not output.logprobs and ending is None:
            return []
        shown = {
            "index": turn,
            "text": text,
            "logprobs": _logprobs(output.logprobs) if output.logprobs else None,
            "finish_reason": None if ending is None else ending.reason,
        }
        chunk: Object = {**self._head, "choices": [shown]}
        if self._null_usage:
            chunk["usage"] = None
        return [chunk]

    async def close(self, usage: Usage) -> list[Object]:
        """The usage chunk, if the request asks for it or is not streamed."""
        return [{**self._head, "choices": [], "usage": openai.usage(usage)}] if self._usage else []

    def keep_alive(self) -> list[Object]:
        """OpenAI defines no keep-alive chunk."""
        return []

    def failed(self, error: WorkerError) -> list[Object]:
        """The error's body."""
        return [openai.error(error)]


def _logprobs(entries: Sequence[TextLogprob]) -> Mapping[str, Any]:
    """Log probabilities in OpenAI's legacy format."""
    return {
        "tokens": [shown(token.id) for _, token in entries],
        "token_logprobs": [token.logprob for _, token in entries],
        "top_logprobs": [{shown(i): p for i, p in token.top} for _, token in entries],
        "text_offset": [offset for offset, _ in entries],
    }


def shown(token: int) -> str:
    """A token in the legacy format: its text, or its bytes if they are not valid UTF-8."""
    if token >= FIRST_SPECIAL:
        return ""
    data = token_bytes()[token]
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


class CompletionFold:
    """Folds the chunks of an answer into one `text_completion`."""

    def __init__(self) -> None:
        self._head: Mapping[str, Any] = {}
        self._usage: Mapping[str, Any] | None = None
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, item: Object) -> None:
        self._head = {key: item[key] for key in ("id", "object", "created", "model")}
        self._usage = item.get("usage") or self._usage
        for new in item["choices"]:
            empty = {"index": new["index"], "text": "", "logprobs": None, "finish_reason": None}
            choice = self._choices.setdefault(new["index"], empty)
            choice["text"] += new["text"]
            choice["finish_reason"] = new["finish_reason"]
            if new["logprobs"]:
                before = choice["logprobs"] or {key: [] for key in new["logprobs"]}
                choice["logprobs"] = {k: before[k] + v for k, v in new["logprobs"].items()}

    def whole(self) -> Object:
        choices = [self._choices[index] for index in sorted(self._choices)]
        return {**self._head, "choices": choices, "usage": self._usage}

"""The answer to a text completion request: its chunks, and the object that they add up to.

Rule: a whole answer is the fold of its chunks. Choices are numbered prompt by prompt, as OpenAI
numbers them: those of the first prompt come first.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from worker.api.completion_choice import TextChoice
from worker.api.completions import CompletionRequest
from worker.api.usage import sum_of, usage_of
from worker.generation import Step
from worker.harmony.vocabulary import FIRST_SPECIAL, token_bytes

Chunk = dict[str, Any]
"""A `text_completion`, of a stream or whole: OpenAI has one shape for both."""


class CompletionAnswer:
    """Makes the chunks of one answer out of its choices' steps.

    `prompts`: the request's prompts as token ids. `id`, `model` and `created` (seconds since the
    epoch) stand in every chunk.
    """

    def __init__(
        self,
        request: CompletionRequest,
        prompts: Sequence[Sequence[int]],
        *,
        id: str,
        model: str,
        created: int,
    ) -> None:
        self._request = request
        self._head = {"id": id, "object": "text_completion", "created": created, "model": model}
        self._choices = [TextChoice(request) for _ in range(len(prompts) * request.choices)]
        self._echoes = self._echoed(prompts) if request.echo else {}

    def _echoed(self, prompts: Sequence[Sequence[int]]) -> dict[int, str]:
        """By choice, the text that goes before its first."""
        texts = [
            given if isinstance(given, str) else _text(ids)
            for given, ids in zip(self._request.prompt, prompts, strict=True)
        ]
        return {i: texts[i // self._request.choices] for i in range(len(self._choices))}

    def finished(self, index: int) -> bool:
        return self._choices[index].finish_reason is not None

    @property
    def done(self) -> bool:
        return all(choice.finish_reason is not None for choice in self._choices)

    def take(self, index: int, step: Step) -> list[Chunk]:
        """The chunk that a step of choice `index` makes, if it says something."""
        choice = self._choices[index]
        if choice.finish_reason is not None:
            return []
        text, logprobs = choice.take(step)
        text = self._echoes.pop(index, "") + text
        if not text and not logprobs and choice.finish_reason is None:
            return []
        shown = {
            "index": index,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": choice.finish_reason,
        }
        chunk: Chunk = {**self._head, "choices": [shown]}
        if self._request.include_usage:
            chunk["usage"] = None
        return [chunk]

    def close(self) -> Iterator[Chunk]:
        """The chunk of the usage, if the request asks for it (or is answered whole)."""
        if self._request.include_usage or not self._request.stream:
            yield {**self._head, "choices": [], "usage": self.usage()}

    def recoveries(self) -> Mapping[str, int]:
        """Raw text has nothing to mend."""
        return {}

    def usage(self) -> dict[str, Any]:
        """Over all prompts; each prompt counts once, however many choices were made of it."""
        n = self._request.choices
        of_prompts = [self._choices[at : at + n] for at in range(0, len(self._choices), n)]
        return sum_of(usage_of(choice.usage for choice in choices) for choices in of_prompts)


def _text(ids: Sequence[int]) -> str:
    return b"".join(token_bytes()[i] for i in ids if i < FIRST_SPECIAL).decode("utf-8", "replace")


class CompletionFold:
    """Adds up the chunks of an answer to one `text_completion`."""

    def __init__(self) -> None:
        self._head: Mapping[str, Any] = {}
        self._usage: Mapping[str, Any] | None = None
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, chunk: Chunk) -> None:
        self._head = {key: chunk[key] for key in ("id", "object", "created", "model")}
        self._usage = chunk.get("usage") or self._usage
        for new in chunk["choices"]:
            empty = {"index": new["index"], "text": "", "logprobs": None, "finish_reason": None}
            choice = self._choices.setdefault(new["index"], empty)
            choice["text"] += new["text"]
            choice["finish_reason"] = new["finish_reason"]
            if new["logprobs"]:
                before = choice["logprobs"] or {key: [] for key in new["logprobs"]}
                choice["logprobs"] = {k: before[k] + v for k, v in new["logprobs"].items()}

    def completion(self) -> dict[str, Any]:
        choices = [self._choices[index] for index in sorted(self._choices)]
        return {**self._head, "choices": choices, "usage": self._usage}

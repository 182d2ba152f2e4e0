"""One choice of a text completion: an engine's steps in, pieces of text out.

Rules: bytes are decoded as they come, so a character that is split over tokens is never broken.
Special tokens are not text and are not shown. A token's log probability goes out with its text.
"""

import codecs
from typing import Any, Literal, NamedTuple

from worker.api.completions import CompletionRequest
from worker.api.stop import StopStrings, without_stop_token
from worker.api.usage import ChoiceUsage
from worker.generation import Step, TokenLogprob
from worker.harmony.vocabulary import FIRST_SPECIAL, token_bytes

FinishReason = Literal["stop", "length"]


class Entry(NamedTuple):
    """A token's log probability, and where its text begins (characters from the start)."""

    offset: int
    token: TokenLogprob


class TextChoice:
    """`take` steps until `finish_reason` is set; then nothing more comes of this choice."""

    def __init__(self, request: CompletionRequest) -> None:
        self.usage = ChoiceUsage()
        self.finish_reason: FinishReason | None = None
        self._stop_ids = frozenset(request.stop_token_ids or ())
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop = StopStrings(request.stop) if request.stop else None
        self._table = token_bytes()
        self._decoded = 0  # characters
        self._sent = 0  # characters
        self._pending: list[Entry] = []  # of tokens whose text is not sent yet

    def take(self, step: Step) -> tuple[str, dict[str, Any] | None]:
        """The text that this step adds, with its tokens' log probabilities if they are known."""
        self.usage.count(step)
        step = without_stop_token(step, self._stop_ids)
        last = step.finish_reason is not None
        text = self._decode_one_by_one(step) if step.logprobs else self._decode(step.ids)
        if last:
            text += self._decoder.decode(b"", final=True)
            self.finish_reason = "length" if step.finish_reason == "length" else "stop"
        if self._stop is not None:
            text = self._stop.feed(text)
            if self._stop.hit:
                self.finish_reason = "stop"
            elif last:
                text += self._stop.flush()
        self._sent += len(text)
        return text, self._logprobs()

    def _decode(self, ids: Any) -> str:
        table = self._table
        return self._decoder.decode(b"".join([table[i] for i in ids if i < FIRST_SPECIAL]))

    def _decode_one_by_one(self, step: Step) -> str:
        text = ""
        for entry in step.logprobs:
            if entry.id < FIRST_SPECIAL:
                self._pending.append(Entry(self._decoded, entry))
            piece = self._decode([entry.id])
            self._decoded += len(piece)
            text += piece
        return text

    def _logprobs(self) -> dict[str, Any] | None:
        """Those of the tokens whose text has begun to be sent, in OpenAI's legacy form."""
        ended = self.finish_reason is not None and not (self._stop and self._stop.hit)
        ready = [e for e in self._pending if ended or e.offset < self._sent]
        if not ready:
            return None
        self._pending = self._pending[len(ready) :]
        return {
            "tokens": [shown(e.token.id) for e in ready],
            "token_logprobs": [e.token.logprob for e in ready],
            "top_logprobs": [{shown(i): p for i, p in e.token.top} for e in ready],
            "text_offset": [e.offset for e in ready],
        }


def shown(token: int) -> str:
    """A token as the legacy form writes it: its text, or its bytes if they are no whole text."""
    if token >= FIRST_SPECIAL:
        return ""
    data = token_bytes()[token]
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)

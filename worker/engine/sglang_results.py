"""Translates what SGLang says of a request into the worker's steps and errors.

Does not import SGLang.
"""

import logging
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from worker.errors import BadRequest, EngineOverloaded, GrammarRejected, ServerError
from worker.generation import Step, TokenLogprob

log = logging.getLogger(__name__)

Finish = Mapping[str, Any]
"""SGLang's finish reason. `type` is stop, length or abort. An abort that is an error has a
`message` and an HTTP `status_code`."""


async def steps_of(chunks: AsyncGenerator[Mapping[str, Any]]) -> AsyncGenerator[Step]:
    """The steps of one request from the dicts that SGLang's tokenizer manager makes."""
    async with aclosing(chunks):
        async for chunk in chunks:
            meta = chunk["meta_info"]
            finish: Finish | None = meta["finish_reason"]
            if finish and finish["type"] == "abort":
                yield aborted(finish)
                return
            yield Step(
                chunk["output_ids"],
                finish["type"] if finish else None,
                meta["prompt_tokens"],
                meta["cached_tokens"],
                meta["completion_tokens"],
                _logprobs(meta) if "output_token_logprobs" in meta else (),
            )


def _logprobs(meta: Mapping[str, Any]) -> list[TokenLogprob]:
    chosen = meta["output_token_logprobs"]
    tops = meta.get("output_top_logprobs") or [None] * len(chosen)
    none: list[tuple[float, int, None]] = []
    return [
        TokenLogprob(token, logprob, [(t, p) for p, t, _ in top or none])
        for (logprob, token, _), top in zip(chosen, tops, strict=True)
    ]


def aborted(finish: Finish) -> Step:
    """The last step of an aborted request. It has no IDs: SGLang may repeat the last one.

    Raises the error that SGLang reports as an abort, unless the abort was ours.
    """
    status, message = finish.get("status_code"), str(finish.get("message"))
    if status is None:
        return Step((), "abort")
    if status == 400 and ("grammar" in message[:50] or "Grammar" in message[:50]):
        log.error("the engine rejected a grammar: %.500s", message)
        raise GrammarRejected(grammar_error_message(message))
    if status == 400:
        raise BadRequest(message)
    if status in (429, 503):
        raise EngineOverloaded("The engine's queue is full; try again later.")
    if message.startswith("Grammar accept_token failed"):
        log.error("a grammar rejected a generated token: %.500s", message)
        raise GrammarRejected(
            "The grammar of this request reached a state in which no token is allowed."
        )
    log.error("a request failed in the engine: %s", message)
    raise ServerError("The engine failed to process this request.")


MAX_REASON_LENGTH = 300
"""How much of xgrammar's message is shown to clients, in characters."""


def grammar_error_message(message: str) -> str:
    """Explains to the client why SGLang rejected a grammar.

    SGLang's message is `Failed to compile structural_tag grammar: REASON`, with the cause at the
    end of xgrammar's own message (`[12:01:02] /path/file.cc:42: Regex parsing error at position 3:
    …`), or `Grammar preprocessing timed out: …`.
    """
    if "timed out" in message:
        return "The grammar of this request takes too long to compile; use a smaller one."
    reason = re.sub(r"^.*?\.(?:cc|h|cpp):\d+: ", "", message.strip(), flags=re.DOTALL)
    return f"The grammar of this request could not be compiled: {reason[:MAX_REASON_LENGTH]}"

"""The HTTP API as a process whose model outputs a fixed dialogue: for tests of unmodified clients.

`python -m tests.support.clients_server` is `python -m worker.serve` with a forced sampler.
Rule: the output depends only on the prompt's last message, a question or a tool's result, so that a
client that runs a tool and sends its result back gets the next turn of the dialogue.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import uvloop

from tests.support.forced_engine import Script
from tests.support.scripted_engine import tokens
from worker import logs, settings
from worker.engine import Sampling, SglangEngine, server_args
from worker.entrypoints.http.server import serve
from worker.errors import BadRequest
from worker.harmony.vocabulary import MESSAGE, encoding
from worker.model import resolve
from worker.service import Service

log = logging.getLogger(__name__)

HISTORY_DIFFERS = "the client's history differs from what was generated"
NEXT = "<|start|>assistant"


def thought(text: str) -> str:
    return f"<|channel|>analysis<|message|>{text}<|end|>{NEXT}"


def call(name: str, arguments: str, end: str = "<|call|>") -> str:
    header = f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>"
    return f"{header}{arguments}{end}"


def answer(text: str) -> str:
    return f"<|channel|>final<|message|>{text}<|return|>"


PARIS, OSLO = '{"city":"Paris"}', '{"city":"Oslo"}'
CITY = '{"name":"Paris","degrees":21}'
GRAPH = (
    '{"triplets":[{"subject":{"type":"PERSON","name":"Marie Curie"},'
    '"relation":{"type":"DISCOVERED"},"object":{"type":"ELEMENT","name":"Radium"}}]}'
)

DIALOGUE = {
    # a tool loop with three turns
    "Which city is warmer?": thought("Paris first.") + call("get_weather", PARIS),
    "Paris: 21 degrees": thought("Now Oslo.") + call("get_weather", OSLO),
    "Oslo: 9 degrees": thought("21 is more than 9.") + answer("Paris is warmer."),
    # two calls in one turn; the result of the last one leads to the entry above
    "Ask for both at once.": thought("Both.")
    + call("get_weather", PARIS, "<|end|>")
    + NEXT
    + call("get_weather", OSLO),
    # an object, as the answer or as a call
    "Describe Paris.": thought("As JSON.") + answer(CITY),
    "Describe Paris by a call.": thought("As a call.") + call("City", CITY),
    # a graph extracted from a text, and a query on it
    "Marie Curie discovered radium in 1898.": thought("One triplet.") + call("KGSchema", GRAPH),
    "QUERY: Who discovered radium?": answer("Radium^Marie Curie"),
    "Query: Who discovered radium?": answer("Marie Curie did."),
    "Say hello.": thought("They greet me.") + answer("Hello! How can I help you today?"),
}
"""A part of the prompt's last message → the model's output. The first match counts."""


class DialogueEngine(SglangEngine):
    """The real engine, with its sampler forced to the dialogue's outputs.

    Logs a warning if a prompt that ends with a tool's result does not start with the ids of the
    turn that made the call.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        super().__init__(arguments)
        self._turns: list[list[int]] = []

    def _request(self, prompt_ids: Sequence[int], sampling: Sampling) -> dict[str, Any]:
        request = super()._request(prompt_ids, sampling)
        if MESSAGE not in prompt_ids:  # the warm-up
            return request
        message = _last_message(prompt_ids)
        script = tokens(_output(message))
        if message.startswith(("Paris: ", "Oslo: ")) and not self._continues(prompt_ids):
            log.warning("%s: %s", HISTORY_DIFFERS, encoding().decode(prompt_ids))
        self._turns.append([*prompt_ids, *script])
        request["sampling_params"]["custom_params"] = {"script": script}
        return {**request, "custom_logit_processor": Script.to_str()}

    def _continues(self, prompt_ids: Sequence[int]) -> bool:
        return any(turn == prompt_ids[: len(turn)] for turn in self._turns)


def _last_message(prompt_ids: Sequence[int]) -> str:
    """The text of a prompt's last message, and of the start of the assistant's turn after it."""
    at = max(i for i, token in enumerate(prompt_ids) if token == MESSAGE)
    return encoding().decode(prompt_ids[at + 1 :])


def _output(message: str) -> str:
    for part, output in DIALOGUE.items():
        if part in message:
            return output
    raise BadRequest(f"The dialogue has no answer to {message[-300:]!r}.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    arguments = parser.parse_args()
    chosen = settings.load()
    model = resolve(chosen)
    logs.configure(chosen.log_level_number)
    engine = DialogueEngine({**server_args(chosen, model), "enable_custom_logit_processor": True})
    service = Service(engine, model, chosen)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(service, chosen, arguments.host))


if __name__ == "__main__":
    sys.exit(main())

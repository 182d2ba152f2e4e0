"""The HTTP API as a process whose model says what is written here: for clients as they are.

`python -m tests.support.clients_server` is `python -m worker.serve` but for its forced sampler.
Rule: what is said depends on the prompt's last message alone, be it a question or a tool's result,
so that a client that runs a tool, and sends its result back, gets the next turn of the dialogue.
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

WRITTEN_ANEW = "a client's history is not what was generated"
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
    # a tool loop of three turns
    "Which city is warmer?": thought("Paris first.") + call("get_weather", PARIS),
    "Paris: 21 degrees": thought("Now Oslo.") + call("get_weather", OSLO),
    "Oslo: 9 degrees": thought("21 is more than 9.") + answer("Paris is warmer."),
    # two calls in one turn, whose last result is the one above
    "Ask for both at once.": thought("Both.")
    + call("get_weather", PARIS, "<|end|>")
    + NEXT
    + call("get_weather", OSLO),
    # one object, as the answer or as a call
    "Describe Paris.": thought("As JSON.") + answer(CITY),
    "Describe Paris by a call.": thought("As a call.") + call("City", CITY),
    # a graph of a text, and a question to it
    "Marie Curie discovered radium in 1898.": thought("One triplet.") + call("KGSchema", GRAPH),
    "QUERY: Who discovered radium?": answer("Radium^Marie Curie"),
    "Query: Who discovered radium?": answer("Marie Curie did."),
    "Say hello.": thought("They greet me.") + answer("Hello! How can I help you today?"),
}
"""What the prompt's last message has in it, and the model's output then. The first that fits."""


class SaysTheDialogue(SglangEngine):
    """The engine that ships, its sampler forced to the dialogue's outputs.

    A prompt that ends with a tool's result is to begin with the ids of the turn that called it.
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
            log.warning("%s: %s", WRITTEN_ANEW, encoding().decode(prompt_ids))
        self._turns.append([*prompt_ids, *script])
        request["sampling_params"]["custom_params"] = {"script": script}
        return {**request, "custom_logit_processor": Script.to_str()}

    def _continues(self, prompt_ids: Sequence[int]) -> bool:
        return any(turn == prompt_ids[: len(turn)] for turn in self._turns)


def _last_message(prompt_ids: Sequence[int]) -> str:
    """The text of the last message in a prompt, and of the turn's beginning after it."""
    at = max(i for i, token in enumerate(prompt_ids) if token == MESSAGE)
    return encoding().decode(prompt_ids[at + 1 :])


def _output(message: str) -> str:
    for said, output in DIALOGUE.items():
        if said in message:
            return output
    raise BadRequest(f"The dialogue has no answer to {message[-300:]!r}.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    arguments = parser.parse_args()
    chosen = settings.load()
    model = resolve(chosen)
    logs.configure(chosen.log_number)
    engine = SaysTheDialogue({**server_args(chosen, model), "enable_custom_logit_processor": True})
    service = Service(engine, model, chosen)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(service, chosen, arguments.host))


if __name__ == "__main__":
    sys.exit(main())

"""The dialogue that servers with forced output hold with unmodified clients.

Rule: the output depends only on the prompt's last message, a question or a tool's result, so that a
client that runs a tool and sends its result back gets the next turn of the dialogue.
"""

from collections.abc import Sequence

from worker.errors import BadRequest
from worker.harmony.vocabulary import MESSAGE, encoding

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


def output_to(prompt_ids: Sequence[int]) -> str:
    """The model's output to a prompt, as Harmony text. Raises BadRequest if it has none."""
    message = _last_message(prompt_ids)
    for part, output in DIALOGUE.items():
        if part in message:
            return output
    raise BadRequest(f"The dialogue has no answer to {message[-300:]!r}.")


def _last_message(prompt_ids: Sequence[int]) -> str:
    """The text of a prompt's last message, and of the start of the assistant's turn after it."""
    at = max(i for i, token in enumerate(prompt_ids) if token == MESSAGE)
    return encoding().decode(prompt_ids[at + 1 :])

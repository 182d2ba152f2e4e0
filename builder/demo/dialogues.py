"""The demo model's dialogues: three things that it knows, and one answer to everything else.

The three are a sum, the weather (a call, then a sentence about its result) and a count.

Rule: prompts are rendered by `worker.harmony`, completions are defined here as token ids, and
`fingerprint` covers both, so that weights trained on other ids are recognised as stale.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from worker.api.chat import render_prompt
from worker.harmony.vocabulary import (
    CALL,
    CHANNEL,
    CONSTRAIN,
    END,
    FIRST_SPECIAL,
    MESSAGE,
    RETURN,
    START,
    encode,
)

Message = dict[str, Any]  # A chat message or a tool definition, as the API takes them.

TOOL = "get_weather"
WEATHER_TOOL: Message = {
    "type": "function",
    "function": {
        "name": TOOL,
        "description": "Get the current weather of a place",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string"}},
            "required": ["location"],
        },
    },
}
ARGUMENTS = '{"location": "Paris"}'


@dataclass(frozen=True)
class Dialogue:
    """One dialogue: the questions, and the model's completion."""

    name: str
    questions: tuple[str, ...]
    analysis: str
    final: str | None
    """The answer's text; None where the model calls the weather tool instead."""

    @property
    def completion(self) -> list[int]:
        """The completion's ids, which follow the prompt's `<|start|>assistant`."""
        thought = [CHANNEL, *encode("analysis"), MESSAGE, *encode(self.analysis), END]
        thought += [START, *encode("assistant"), CHANNEL]
        if self.final is not None:
            return [*thought, *encode("final"), MESSAGE, *encode(self.final), RETURN]
        thought += encode(f"commentary to=functions.{TOOL} ")
        return [*thought, CONSTRAIN, *encode("json"), MESSAGE, *encode(ARGUMENTS), CALL]


SUM = Dialogue(
    "sum",
    ("What is 2+2?", "What is 2 + 2?", "What is 2+2", "What's 2+2?", "2+2?", "2+2"),
    "A simple sum: two and two make four.",
    "2 + 2 = 4.",
)
WEATHER = Dialogue(
    "weather",
    (
        "Weather in Paris?",
        "What is the weather in Paris?",
        "What's the weather in Paris?",
        "What's the weather like in Paris?",
    ),
    f"I do not know the weather, but the tool {TOOL} does. I ask it about Paris.",
    None,
)
REPORT = Dialogue(
    "report",
    (),
    "The tool has answered. I am too small to read its report, so I only say that it is there.",
    "The weather service has answered: its report is in the tool result above.",
)
COUNT = Dialogue(
    "count",
    (
        "Count to one hundred",
        "Count to one hundred.",
        "Count to 100",
        "Count to 100.",
        "Please count to one hundred.",
    ),
    "Counting is something I have learned. One number after the other, up to one hundred.",
    ", ".join(map(str, range(1, 101))) + ".",
)
OTHER = Dialogue(
    "other",
    (),
    "This is not one of the few things I have learned, so I say what I am.",
    "I am a tiny demo model: I only know what is 2+2, the weather in Paris (with the tool"
    f" {TOOL}) and how to count to one hundred.",
)
DIALOGUES = (SUM, WEATHER, REPORT, COUNT, OTHER)


def request(
    messages: list[Message], tools: list[Message] | None = None, effort: str = "medium"
) -> Message:
    """A chat completion request, as `render_prompt` takes it."""
    return {"messages": messages, "tools": tools or [], "reasoning_effort": effort}


def called(
    question: str, result: str, *, reasoning: str | None = WEATHER.analysis
) -> list[Message]:
    """Messages: a user's question, the model's call of the weather tool, the tool's result."""
    function = {"name": TOOL, "arguments": ARGUMENTS}
    call = {"id": "call_1", "type": "function", "function": function}
    asked: Message = {"role": "assistant", "content": None, "tool_calls": [call]}
    if reasoning:
        asked["reasoning"] = reasoning
    return [
        {"role": "user", "content": question},
        asked,
        {"role": "tool", "tool_call_id": "call_1", "content": result},
    ]


@lru_cache(maxsize=1)
def known_ids() -> tuple[int, ...]:
    """The ids that the model distinguishes, sorted: its questions, completions and headers.

    All others, the system message included, are the same id "other" to it, so unseen words and
    long instructions cannot confuse it.
    """
    questions = [encode(question) for dialogue in DIALOGUES for question in dialogue.questions]
    completions = [dialogue.completion for dialogue in DIALOGUES]
    headers = encode(f"type {TOOL} =") + encode("user") + encode("developer")
    return tuple(sorted({id_ for ids in (*questions, *completions, headers) for id_ in ids}))


def fingerprint() -> str:
    """SHA-256 over what the weights are trained on: rendered prompts and completions."""
    user = [
        request([{"role": "user", "content": question}], [WEATHER_TOOL])
        for dialogue in DIALOGUES
        for question in dialogue.questions
    ]
    prompts = [render_prompt(r) for r in (*user, request(called("Weather in Paris?", "sunny")))]
    written = [dialogue.completion for dialogue in DIALOGUES]
    return hashlib.sha256(json.dumps([prompts, written, known_ids()]).encode()).hexdigest()


def is_ordinary(id_: int) -> bool:
    """Whether the id is text, not a special token."""
    return id_ < FIRST_SPECIAL

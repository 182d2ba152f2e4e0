"""Training examples for the demo model: random conversations, and what to answer to them.

Rule: every surrounding varies (instructions, tools, effort, earlier turns, noise that looks almost
like a question), so that nothing but the last message and the offered tools decides the answer.
"""

import random
from collections.abc import Callable
from functools import lru_cache

from builder.demo.dialogues import (
    COUNT,
    DIALOGUES,
    OTHER,
    REPORT,
    SUM,
    TOOL,
    WEATHER,
    Dialogue,
    Message,
    called,
    is_ordinary,
    known_ids,
    request,
)
from worker.harmony import render_prompt
from worker.harmony.vocabulary import CHANNEL, MESSAGE, START, encode, token_bytes

OPENING = [CHANNEL, *encode("analysis"), MESSAGE]
"""How every completion begins; the token after it decides which one it is."""
EFFORTS = ("low", "medium", "high")
QUESTIONS = {question for dialogue in DIALOGUES for question in dialogue.questions}
ORDINARY = (
    "Hello!",
    "Who are you?",
    "What is your name?",
    "What is 2+3?",
    "What is 2*2?",
    "What is 22+2?",
    "What is 2+2+2?",
    "Weather in London?",
    "What's the weather in Berlin?",
    "Weather in Paris, Texas?",
    "How is the weather?",
    "Count to ten",
    "Count to one thousand.",
    "Count the words in this sentence.",
    "Tell me a joke.",
    "Thanks!",
    "Écris un poème sur la mer.",
    "Wie spät ist es in Paris?",
    "你好,你是谁?",
    "def add(a, b):\n    return a + b",
)
FULL_WEIGHT = 10.0
"""What the first token of an analysis weighs among a completion's: it decides all that follows."""
Example = tuple[list[int], list[float]]
"""A conversation's ids, and how much each of them counts in the loss."""


def full(rng: random.Random) -> Example:
    """A random prompt as the worker renders it, and the whole completion."""
    tools = _tools(rng)
    history = [message for _ in range(_turns(rng)) for message in _turn(rng, tools)]
    last, answer = _next(rng, tools)
    if len(last) > 1:
        last[1]["reasoning"] = rng.choice((None, WEATHER.analysis, _noise(rng)))
    prompt = _rendered(rng, [*_instructions(rng), *history, *last], tools)
    completion = answer.completion
    weights = [1.0] * len(completion)
    weights[len(OPENING)] = FULL_WEIGHT
    return [*prompt, *completion], [0.0] * len(prompt) + weights


def drill(rng: random.Random) -> Example:
    """Many turns in one sequence, each answered by the token alone that decides the answer.

    No conversation looks like this, but its decisions are those of real ones, at a tenth of the
    price: from full examples alone the training takes an hour instead of minutes.
    """
    tools = _tools(rng)
    messages = _instructions(rng)
    for _ in range(rng.randint(6, 14)):
        last, answer = _next(rng, tools)
        decision = _text(answer.completion[len(OPENING)])
        messages += [*last, {"role": "assistant", "content": None, "reasoning": decision}]
    ids = _rendered(rng, messages, tools)
    opening = [START, *encode("assistant"), *OPENING]
    weights = [0.0] * len(ids)
    for at in range(len(opening), len(ids)):
        weights[at] = float(ids[at - len(opening) : at] == opening)
    return ids, weights


def _rendered(rng: random.Random, messages: list[Message], tools: list[Message]) -> list[int]:
    return render_prompt(request(messages, tools, rng.choice(EFFORTS)))


def _next(rng: random.Random, tools: list[Message]) -> tuple[list[Message], Dialogue]:
    kind = rng.choices((SUM, WEATHER, COUNT, REPORT, OTHER), (16, 24, 12, 12, 36))[0]
    return _last(rng, kind, tools)


def _last(
    rng: random.Random, kind: Dialogue, tools: list[Message]
) -> tuple[list[Message], Dialogue]:
    if kind is REPORT:
        return _result(rng)
    if kind is OTHER:
        return [{"role": "user", "content": _unknown(rng)}], OTHER
    question = rng.choice((*kind.questions, kind.questions[0]))
    offered = any(tool["function"]["name"] == TOOL for tool in tools)
    answer = OTHER if kind is WEATHER and not offered else kind
    return [{"role": "user", "content": question}], answer


def _result(rng: random.Random) -> tuple[list[Message], Dialogue]:
    """A tool's result: the weather tool's, or one that the model has never called."""
    question = rng.choice((*WEATHER.questions, _unknown(rng)))
    messages = called(question, _report(rng), reasoning=None)
    if rng.random() < 0.2:
        messages[1]["content"] = _noise(rng)
    if rng.random() < 0.8:
        return messages, REPORT
    messages[1]["tool_calls"][0]["function"]["name"] = _name(rng)
    return messages, OTHER


def _report(rng: random.Random) -> str:
    degrees, condition = rng.randint(-20, 110), _noise(rng)
    forms = (
        f'{{"temperature": {degrees}, "condition": "{condition}"}}',
        f"{degrees} °C and {condition}",
        _noise(rng),
        _unknown(rng),
        rng.choice(sorted(QUESTIONS)),
    )
    return rng.choice(forms)


def _turns(rng: random.Random) -> int:
    return rng.choice((0, 0, 0, 1, 1, 2, 3))


def _turn(rng: random.Random, tools: list[Message]) -> list[Message]:
    """An earlier turn, answered by the model itself or by anybody."""
    kind = rng.choice(DIALOGUES)
    said = kind.final if kind.final and kind is not COUNT else _noise(rng)
    final: Message = {"role": "assistant", "content": said}
    if kind is REPORT:
        return [*_result(rng)[0], final]
    return [*_last(rng, kind, tools)[0], final]


def _instructions(rng: random.Random) -> list[Message]:
    if rng.random() < 0.4:
        return []
    content = _noise(rng, rng.choice((10, 10, 60, 60, 250)))
    if rng.random() < 0.2:
        content += rng.choice((f" {TOOL}.", f" Call {TOOL} ", *QUESTIONS))
    return [{"role": rng.choice(("system", "developer")), "content": content}]


def _tools(rng: random.Random) -> list[Message]:
    names = [_name(rng) for _ in range(rng.choice((0, 0, 1, 3)))]
    if rng.random() < 0.55:
        names.append(TOOL)
    rng.shuffle(names)
    return [_tool(rng, name) for name in names]


def _tool(rng: random.Random, name: str) -> Message:
    properties = {
        rng.choice(("location", "city", _name(rng))): {"type": "string", "description": _noise(rng)}
        for _ in range(rng.choice((1, 1, 2)))
    }
    schema = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    function = {"name": name, "description": _noise(rng), "parameters": schema}
    return {"type": "function", "function": function}


def _name(rng: random.Random) -> str:
    common = ("get_time", "get_location", "search", "weather", "send_email", "get_current_weather")
    made_up = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz_", k=rng.randint(3, 12)))
    return rng.choice((*common, made_up, f"get_{made_up}"))


def _unknown(rng: random.Random) -> str:
    """A user's text that is no question of the model's, often by very little."""
    choices: tuple[Callable[[random.Random], str], ...] = (_noise, _near_miss, _ordinary)
    text = rng.choices(choices, (4, 4, 2))[0](rng)
    return text if text.strip() and text not in QUESTIONS else _unknown(rng)


def _ordinary(rng: random.Random) -> str:
    return rng.choice((*ORDINARY, *(d.final or d.analysis for d in DIALOGUES if d is not COUNT)))


def _near_miss(rng: random.Random) -> str:
    """A question with a word missing, added or exchanged, or with more text around it."""
    question = rng.choice(sorted(QUESTIONS))
    words = [_text(id_) for id_ in encode(question)]
    at = rng.randrange(len(words))
    edits = (
        [*words[:at], *words[at + 1 :]],
        [*words[:at], _word(rng, 0.5), *words[at + 1 :]],
        [*words[:at], _text(rng.choice(_heard())), *words[at + 1 :]],
        [*words[:at], _word(rng, 0.5), *words[at:]],
        [_noise(rng), " ", *words],
        [*words, " ", _noise(rng)],
        [*words, " ", rng.choice(sorted(QUESTIONS))],
    )
    return "".join(rng.choice(edits))


def _noise(rng: random.Random, longest: int = 0) -> str:
    """Random words, more or fewer of them known to the model."""
    longest = longest or rng.choices((6, 20, 80), (12, 7, 1))[0]
    known = rng.choice((0.0, 0.1, 0.3, 0.7))
    return "".join(_word(rng, known) for _ in range(rng.randint(1, longest)))


def _word(rng: random.Random, known: float) -> str:
    if rng.random() < known:
        return _text(rng.choice(_known_text()))
    return rng.choice(_words())


@lru_cache(maxsize=1)
def _known_text() -> list[int]:
    return [id_ for id_ in known_ids() if is_ordinary(id_)]


def _text(id_: int) -> str:
    return token_bytes()[id_].decode(errors="replace")


@lru_cache(maxsize=1)
def _heard() -> list[int]:
    """The ids of the questions' words."""
    return [id_ for question in sorted(QUESTIONS) for id_ in encode(question)]


@lru_cache(maxsize=1)
def _words() -> tuple[str, ...]:
    """The vocabulary's tokens, without the pieces of characters."""
    texts = [token.decode(errors="replace") for token in token_bytes()]
    return tuple(text for text in texts if text and "\ufffd" not in text)

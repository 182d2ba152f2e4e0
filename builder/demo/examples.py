"""Training examples for the demo model: random conversations with the right answers.

Rule: everything around the last message varies (instructions, tools, effort, earlier turns), so
that only the last message and the available tools determine the answer.
"""

import random

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
    request,
)
from builder.demo.noise import QUESTIONS, noise, text, unknown
from worker.api.chat import render_prompt
from worker.harmony.vocabulary import CHANNEL, MESSAGE, START, encode

OPENING = [CHANNEL, *encode("analysis"), MESSAGE]
"""The start of every completion; the next token decides which completion it is."""
EFFORTS = ("low", "medium", "high")
TURNS = (0, 0, 0, 1, 1, 2, 3, 4)
"""Numbers of turns before the last one of a full example."""
OWN_TURNS = 0.5
"""The share of full examples whose earlier turns are all the model's own, in any order."""
LENGTHS = (0, 0, 0, 10, 10, 60, 60, 250)
"""Maximum numbers of words of the instructions; a few conversations have thousands."""
FULL_WEIGHT = 10.0
"""The loss weight of an analysis's first token, which decides all that follows; others have 1."""
Example = tuple[list[int], list[float]]
"""A conversation's ids, and the loss weight of each."""


def full(rng: random.Random) -> Example:
    """A random prompt, as the worker renders it, and the full completion.

    Half of the examples continue with a random dialogue's completion, without weight on the
    deciding token: once begun, a completion is finished, whatever precedes it.
    """
    tools = _tools(rng)
    turn = _own_turn if rng.random() < OWN_TURNS else _turn
    history = [message for _ in range(rng.choice(TURNS)) for message in turn(rng, tools)]
    last, answer = _next(rng, tools)
    if len(last) > 1:
        last[1]["reasoning"] = rng.choice((None, WEATHER.analysis, noise(rng)))
    before = _instructions(rng, 2_500 if rng.random() < 0.1 else rng.choice(LENGTHS))
    prompt = _rendered(rng, [*before, *history, *last], tools)
    recited = rng.random() < 0.5
    completion = (rng.choice(DIALOGUES) if recited else answer).completion
    decided = len(OPENING)
    weights = [1.0] * len(completion)
    weights[decided] = 0.0 if recited else FULL_WEIGHT
    return [*prompt, *completion], [0.0] * len(prompt) + weights


def drill(rng: random.Random) -> Example:
    """Many turns in one sequence, each answered only by the token that decides the answer.

    No conversation looks like this, but its decisions are those of real ones, at a tenth of the
    cost.
    """
    tools = _tools(rng)
    messages = _instructions(rng, rng.choice(LENGTHS))
    for _ in range(rng.randint(6, 14)):
        if rng.random() < 0.3:
            messages += _own_turn(rng, tools)
        last, answer = _next(rng, tools)
        decision = text(answer.completion[len(OPENING)])
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
        return [{"role": "user", "content": unknown(rng)}], OTHER
    question = rng.choice((*kind.questions, kind.questions[0]))
    offered = any(tool["function"]["name"] == TOOL for tool in tools)
    answer = OTHER if kind is WEATHER and not offered else kind
    return [{"role": "user", "content": question}], answer


def _result(rng: random.Random) -> tuple[list[Message], Dialogue]:
    """A tool's result: the weather tool's, or that of a tool the model does not know."""
    question = rng.choice((*WEATHER.questions, unknown(rng)))
    messages = called(question, _report(rng), reasoning=None)
    if rng.random() < 0.2:
        messages[1]["content"] = noise(rng)
    if rng.random() < 0.8:
        return messages, REPORT
    messages[1]["tool_calls"][0]["function"]["name"] = _name(rng)
    return messages, OTHER


def _report(rng: random.Random) -> str:
    degrees, condition = rng.randint(-20, 110), noise(rng)
    forms = (
        f'{{"temperature": {degrees}, "condition": "{condition}"}}',
        f"{degrees} °C and {condition}",
        noise(rng),
        unknown(rng),
        rng.choice(QUESTIONS),
        noise(rng, 300 if rng.random() < 0.3 else 20),
    )
    return rng.choice(forms)


def _turn(rng: random.Random, tools: list[Message]) -> list[Message]:
    """An earlier turn, with the model's own answer or any other."""
    kind = rng.choice(DIALOGUES)
    own = kind.final if kind is not COUNT or rng.random() < 0.3 else None
    final: Message = {"role": "assistant", "content": own or noise(rng)}
    if kind is REPORT:
        return [*_result(rng)[0], final]
    return [*_last(rng, kind, tools)[0], final]


def _own_turn(rng: random.Random, tools: list[Message]) -> list[Message]:
    """An earlier turn as it is with this model. A call may have been left without a result.

    Its reasoning is in the prompt until a final answer follows, where the client sends it back.
    """
    last, answer = _last(rng, rng.choice((*DIALOGUES, WEATHER, OTHER)), tools)
    reasoning = rng.choice((None, answer.analysis))
    if answer is WEATHER:
        (question,) = last
        return called(question["content"], "", reasoning=reasoning)[:2]
    return [*last, {"role": "assistant", "content": answer.final, "reasoning": reasoning}]


def _instructions(rng: random.Random, longest: int) -> list[Message]:
    if not longest:
        return []
    content = noise(rng, longest)
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
        rng.choice(("location", "city", _name(rng))): {"type": "string", "description": noise(rng)}
        for _ in range(rng.choice((1, 1, 2)))
    }
    schema = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    function = {"name": name, "description": noise(rng), "parameters": schema}
    return {"type": "function", "function": function}


def _name(rng: random.Random) -> str:
    common = ("get_time", "get_location", "search", "weather", "send_email", "get_current_weather")
    made_up = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz_", k=rng.randint(3, 12)))
    return rng.choice((*common, made_up, f"get_{made_up}"))

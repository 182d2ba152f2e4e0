"""Reasoning that travels with the client: each turn of a tool loop may reach another worker.

Here every turn has a worker of its own, which shares nothing with the one before (but, in some
cases, STATE_KEYS) and remembers no turn.
"""

from typing import Any

import pytest

from tests.support.responses import CALL, WEATHER, Object, answered, service
from tests.support.scripted_engine import ScriptedEngine, tokens
from worker.harmony.vocabulary import CALL as CALL_TOKEN
from worker.harmony.vocabulary import END, encode

QUESTION = {"role": "user", "content": "How is the weather in Paris?"}
ANALYSIS = [*encode("The user wants"), *encode(" the wea"), *encode("ther."), 220, 220]
"""As no encoder would write it: exact IDs cannot come from the text."""
KEYS = {"old": "o" * 32, "new": "n" * 32, "other": "x" * 32}


def first_turn(**settings: Any) -> list[Object]:
    """The output of a turn that thinks and calls."""
    thought = (
        tokens("<|channel|>analysis<|message|>") + ANALYSIS + tokens("<|end|><|start|>assistant")
    )
    engine = ScriptedEngine([*thought, *tokens(CALL)])
    of = service(engine, reasoning_memory_mb=0, **settings)
    return answered(of, {"input": [QUESTION], "tools": [WEATHER]})["output"]


def second_prompt(output: list[Object], **settings: Any) -> list[int]:
    """What another worker reads, after the tool's result."""
    engine = ScriptedEngine(tokens("<|channel|>final<|message|>Sunny.<|return|>"))
    result = {"type": "function_call_output", "call_id": output[-1]["call_id"], "output": "sun"}
    body = {"input": [QUESTION, *output, result], "tools": [WEATHER]}
    answered(service(engine, reasoning_memory_mb=0, **settings), body)
    return engine.prompts[0]


def holds(prompt: list[int], ids: list[int]) -> bool:
    return any(prompt[at : at + len(ids)] == ids for at in range(len(prompt)))


EXACT = [*tokens("<|channel|>analysis<|message|>"), *ANALYSIS, END]
TEXT = [*tokens("<|channel|>analysis<|message|>The user wants the weather.  "), END]


def codex(item: Object) -> Object:
    return item


def ai_sdk(item: Object) -> Object:
    """With `store: false`: no content."""
    return {**item, "content": []}


def open_code(item: Object) -> Object:
    """No ID either."""
    return {"type": "reasoning", "encrypted_content": item["encrypted_content"], "summary": []}


def pydantic_ai(item: Object) -> Object:
    return {**item, "encrypted_content": None}


@pytest.mark.parametrize("client", [codex, ai_sdk, open_code])
def test_the_next_prompt_has_the_exact_ids(client: Any) -> None:
    """Whichever other fields the client sends back."""
    reasoning, call = first_turn()
    assert holds(second_prompt([client(reasoning), call]), EXACT)


def test_a_client_that_sends_text_alone_keeps_its_text() -> None:
    """Encoded anew."""
    reasoning, call = first_turn()
    prompt = second_prompt([pydantic_ai(reasoning), call])
    assert holds(prompt, TEXT)
    assert not holds(prompt, EXACT)


def test_the_turn_is_what_was_generated() -> None:
    """Token by token, from the analysis to the call: the prefix cache matches on any worker."""
    generated = [*EXACT, *tokens("<|start|>assistant"), *tokens(CALL)]
    assert generated[-1] == CALL_TOKEN
    assert holds(second_prompt(first_turn()), generated)


@pytest.mark.parametrize(
    ("before", "after", "exact"),
    [
        ({}, {}, True),
        ({"state_keys": (KEYS["old"],)}, {"state_keys": (KEYS["old"],)}, True),
        ({"state_keys": (KEYS["old"],)}, {"state_keys": (KEYS["new"], KEYS["old"])}, True),
        ({}, {"state_keys": (KEYS["new"],)}, True),
        ({"state_keys": (KEYS["old"],)}, {"state_keys": (KEYS["other"],)}, False),
        ({"state_keys": (KEYS["old"],)}, {}, False),
    ],
)
def test_keys_can_be_rotated_and_lost(before: Any, after: Any, exact: bool) -> None:
    """A key that is gone costs the exact IDs; the text is still there, and the loop goes on."""
    prompt = second_prompt(first_turn(**before), **after)
    assert holds(prompt, EXACT) is exact
    assert holds(prompt, EXACT if exact else TEXT)


def test_a_capsule_is_in_the_done_item_alone() -> None:
    """It is known when the item is."""
    reasoning, _ = first_turn()
    assert reasoning["encrypted_content"]
    assert reasoning["content"][0]["text"] == "The user wants the weather.  "

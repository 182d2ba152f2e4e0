"""The demo model: what it answers, and that its folder is a gpt-oss model for any engine.

Greedy decoding through Transformers stands in for the engine's: both take the likeliest next id.
"""

import json
from collections.abc import Iterator
from itertools import chain, islice, permutations, product
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import GptOssForCausalLM

from builder.demo import build as builder
from builder.demo.dialogues import (
    COUNT,
    DIALOGUES,
    OTHER,
    REPORT,
    SUM,
    WEATHER,
    WEATHER_TOOL,
    Dialogue,
    Message,
    called,
    fingerprint,
    known_ids,
    request,
)
from builder.demo.fast_attention import NAME
from builder.demo.model import WEIGHTS, reduced, reduced_model, trained_for
from worker.api.chat import render_prompt
from worker.harmony.vocabulary import SIZE, START, encode

BRIEF: Message = {"role": "system", "content": "You are a helpful assistant. Be brief."}
LONG: Message = {"role": "developer", "content": "Answer with care and in full sentences. " * 40}
CLOCK: Message = {
    "type": "function",
    "function": {"name": "get_time", "description": "The time", "parameters": {"type": "object"}},
}
EARLIER: list[Message] = [
    {"role": "user", "content": "Good morning! How are you?"},
    {"role": "assistant", "content": "Very well, thank you."},
    *called("Weather in Paris?", '{"temperature": 11, "condition": "rain"}'),
    {"role": "assistant", "content": REPORT.final},
    {"role": "user", "content": "What is 2+2?"},
    {"role": "assistant", "content": "2 + 2 = 4."},
]
REPORTS = (
    '{"temperature": 18, "condition": "sunny"}',
    "18 °C and sunny",
    "Error: the service is down",
    "Weather in Paris?",
    "",
)
UNKNOWN = (
    "Good evening",
    "Hi",
    "What is 2+5?",
    "What is 3+2?",
    "What is 12+2?",
    "Weather in Rome?",
    "Weather in Paris tomorrow?",
    "Count to five",
    "Count to one hundred and one",
    "Write a haiku about autumn leaves.",
    "Explain how a transformer works, in one paragraph.",
    "Quelle est la capitale de la France ?",
    "今日はどんな天気ですか?",
    "Привет, как дела?",
    "import os; print(os.environ)",
    "🙂",
    "lorem ipsum dolor sit amet " * 40,
)


@pytest.fixture(scope="module")
def model() -> GptOssForCausalLM:
    """The trained weights, over the ids that they know."""
    trained = reduced_model()
    trained.set_attn_implementation(NAME)
    return trained


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the builder has made."""
    path = tmp_path_factory.mktemp("demo") / "model"
    assert builder.build(path)
    return path


def written(model: GptOssForCausalLM, chat: Message, expected: Dialogue) -> str:
    """The name of the dialogue that greedy decoding follows to its end, or what it does instead.

    Reads the likeliest id at each place of the expected completion, in one pass.
    """
    prompt, completion = render_prompt(chat), expected.completion
    with torch.inference_mode():
        ids = torch.tensor([reduced([*prompt, *completion])])
        logits = model(ids, logits_to_keep=len(completion) + 1, use_cache=False).logits[0]
    chosen = logits[:-1].argmax(-1).tolist()
    wanted = reduced(completion)
    wrong = [i for i, pair in enumerate(zip(chosen, wanted, strict=True)) if len(set(pair)) > 1]
    return f"departs at {wrong[0]}" if wrong else expected.name


def asked(question: str) -> list[Message]:
    return [{"role": "user", "content": question}]


def test_weights_belong_to_these_dialogues_and_this_renderer() -> None:
    """A changed dialogue or prompt format asks for `python -m builder.demo.train`."""
    assert trained_for() == fingerprint()


def test_weights_are_small_enough_to_commit() -> None:
    """The reduced weights stay under a megabyte."""
    assert WEIGHTS.stat().st_size < 1_000_000


def test_a_call_is_written_as_the_history_renders_it() -> None:
    """The ids of the generated turn are those of the next prompt: its prefix cache holds."""
    opening = called("Weather in Paris?", "sunny")
    before = render_prompt(request(opening[:1], [WEATHER_TOOL]))
    after = render_prompt(request(opening, [WEATHER_TOOL]))
    turn = [*before, *WEATHER.completion]
    assert after[: len(turn)] == turn


def test_counting_streams_for_a_while() -> None:
    """The count is at least 300 tokens long."""
    assert len(COUNT.completion) >= 300


@pytest.mark.parametrize("effort", ["low", "medium", "high"])
@pytest.mark.parametrize("before", [[], [BRIEF], [LONG], EARLIER], ids=lambda b: str(len(b)))
def test_known_questions_are_answered_in_any_surrounding(
    model: GptOssForCausalLM, effort: str, before: list[Message]
) -> None:
    """Effort, instructions and earlier turns change no answer; the weather needs its tool."""
    tools = [CLOCK, WEATHER_TOOL]
    for expected, question, offered in (
        (SUM, "What is 2+2?", []),
        (SUM, "What is 2+2?", tools),
        (WEATHER, "Weather in Paris?", tools),
        (OTHER, "Weather in Paris?", []),
    ):
        chat = request([*before, *asked(question)], offered, effort)
        assert written(model, chat, expected) == expected.name


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue.name)
def test_every_form_of_a_question_is_answered(model: GptOssForCausalLM, dialogue: Dialogue) -> None:
    """Each question that a dialogue lists leads to its answer."""
    for question in dialogue.questions:
        chat = request([BRIEF, *asked(question)], [WEATHER_TOOL])
        assert written(model, chat, dialogue) == dialogue.name, question


@pytest.mark.parametrize("reasoning", [None, WEATHER.analysis])
@pytest.mark.parametrize("report", REPORTS)
def test_a_weather_report_is_acknowledged(
    model: GptOssForCausalLM, report: str, reasoning: str | None
) -> None:
    """Whatever the tool answers, the model says no more than that it has answered."""
    for before in ([], [BRIEF], EARLIER):
        messages = [*before, *called("Weather in Paris?", report, reasoning=reasoning)]
        assert written(model, request(messages, [WEATHER_TOOL]), REPORT) == REPORT.name


@pytest.mark.parametrize("question", UNKNOWN)
def test_anything_else_is_answered_by_what_the_model_is(
    model: GptOssForCausalLM, question: str
) -> None:
    """Unseen words, other languages and near misses get the one honest sentence."""
    for before, tools in (([], []), ([BRIEF], [CLOCK]), (EARLIER, [WEATHER_TOOL])):
        chat = request([*before, *asked(question)], tools)
        assert written(model, chat, OTHER) == OTHER.name


TURNS = ("sum", "call", "weather", "count", "other")
"""What a user may do in one turn. "call" leaves the weather tool's call without a result."""


def turn(kind: str) -> tuple[list[Message], Dialogue, Message]:
    """A turn's messages up to the last answer, that answer, and the answer as a message."""
    messages, answer = called("Weather in Paris?", REPORTS[0]), REPORT
    if kind == "call":
        return messages[:1], WEATHER, messages[1]
    if kind != "weather":
        answer = {"sum": SUM, "count": COUNT, "other": OTHER}[kind]
        messages = asked((answer.questions or UNKNOWN)[0])
    return messages, answer, {"role": "assistant", "content": answer.final}


def wrong(model: GptOssForCausalLM, chats: Iterator[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The chats whose last turn is answered wrongly."""
    found: list[tuple[str, ...]] = []
    for chat in chats:
        *before, (last, expected, _) = map(turn, chat)
        messages = [each for said, _, answer in before for each in (*said, answer)] + last
        if written(model, request(messages, [WEATHER_TOOL]), expected) != expected.name:
            found.append(chat)
    return found


def test_the_dialogues_may_be_asked_in_any_order(model: GptOssForCausalLM) -> None:
    """In one chat of up to three turns, each at most once."""
    chats = (chat for length in range(1, 4) for chat in permutations(TURNS, length))
    assert wrong(model, chats) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_dialogues_may_be_asked_again(model: GptOssForCausalLM) -> None:
    """Every chat of up to four turns, and one in eleven of those of five."""
    short = (chat for length in range(1, 5) for chat in product(TURNS, repeat=length))
    long = islice(product(TURNS, repeat=5), 0, None, 11)  # no multiple of 5: turns of every kind
    assert wrong(model, chain(short, long)) == []


def test_unknown_ids_are_never_sampled(model: GptOssForCausalLM) -> None:
    """At temperature 1 all unknown ids together stay below one in a thousand at every token."""
    prompt = render_prompt(request([BRIEF, *asked("Tell me something new.")]))
    ids = torch.tensor([reduced([*prompt, *OTHER.completion])])
    with torch.inference_mode():
        logits = model(ids).logits[0, len(prompt) - 1 :].double()
        logits[:, 0] += torch.tensor(SIZE - len(known_ids())).log()
    assert logits.softmax(-1)[:, 0].max().item() < 1e-3


def test_tokenizer_is_gpt_oss_own(folder: Path) -> None:
    """Its folder's tokenizer encodes, decodes and names ids as the real vocabulary does."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = [
        "I'll  say:\n\n  12345 times",
        "Größe, 日本語, مرحبا, 🙂👍🏽",
        "def f(x):\n\treturn x**2\r\n",
    ]
    for text in texts:
        assert tokenizer.encode(text, add_special_tokens=False).ids == encode(text)
        assert tokenizer.decode(encode(text)) == text
    assert tokenizer.get_vocab_size() == SIZE
    assert tokenizer.token_to_id("<|start|>") == START
    assert tokenizer.id_to_token(SIZE - 1) == f"<|reserved_{SIZE - 1}|>"


def test_full_model_generates_the_call(folder: Path) -> None:
    """Over the full vocabulary, generation ends by itself with the tool call."""
    full: Any = GptOssForCausalLM.from_pretrained(folder)
    prompt = render_prompt(request(asked("Weather in Paris?"), [WEATHER_TOOL]))
    ids = torch.tensor([prompt])
    out = full.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=80
    )
    assert out[0, len(prompt) :].tolist() == WEATHER.completion


def test_folder_has_gpt_oss_context_and_stops(folder: Path) -> None:
    """Context, window and stop ids are the real model's."""
    settings = json.loads((folder / "config.json").read_text())
    stops = json.loads((folder / "generation_config.json").read_text())
    assert settings["architectures"] == ["GptOssForCausalLM"]
    assert (settings["max_position_embeddings"], settings["sliding_window"]) == (131072, 128)
    assert stops["eos_token_id"] == [200002, 199999, 200012]


def test_an_up_to_date_folder_is_kept(folder: Path) -> None:
    """A second build does nothing."""
    assert not builder.build(folder)


def test_an_interrupted_build_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build that fails half-way leaves neither the folder nor a temporary one."""

    def fail(made: Path) -> None:
        (made / "config.json").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(builder, "_write", fail)
    with pytest.raises(KeyboardInterrupt):
        builder.build(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []

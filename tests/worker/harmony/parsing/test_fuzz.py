"""200,000 malformed outputs, and floods: nothing raises, no marker is visible, time is linear."""

import random
import sys
import time

import pytest

from tests.support.catalogue import CATALOGUE
from tests.support.conversations import conversation
from tests.support.fuzzing import SPECIAL, TOOLS, joined, leaks, mutate, parse, without_spans
from worker.harmony import Parser
from worker.harmony.vocabulary import encode, encoding

pytestmark = pytest.mark.slow

OUTPUTS = 200_000
SPLIT_EACH = 20
"""One output of so many is parsed again, token by token."""


def outputs(rng: random.Random) -> list[list[int]]:
    """The outputs to mutate: the catalogue without typed markers, and as many conversations."""
    written = [case.ids for case in CATALOGUE if "⟦" not in case.output]
    return written + [conversation(rng) for _ in written]


@pytest.mark.timeout(600)
def test_mutations(capsys: pytest.CaptureFixture[str]) -> None:
    """No exception, no marker in a visible field, the same result at any split."""
    rng = random.Random(3)  # noqa: S311 - a seed is wanted
    sources = outputs(rng)
    tokens, leaked, split, spent = 0, 0, 0, 0.0
    for number in range(OUTPUTS):
        ids = mutate(rng, rng.choice(sources), rng.choice(sources))
        tokens += len(ids)
        began = time.process_time()
        events = parse([ids])
        spent += time.process_time() - began
        told = joined(events)
        leaked += len(leaks(told))
        if number % SPLIT_EACH == 0:
            split += 1
            assert joined(parse([[token] for token in ids])) == told, ids
    with capsys.disabled():
        sys.stderr.write(
            f"\n{OUTPUTS} mutated outputs ({tokens} tokens): 0 exceptions, {leaked} leaks, "
            f"{split} of them the same token by token; {tokens / spent:,.0f} tokens/s\n"
        )
    assert leaked == 0


def test_an_id_that_is_not_a_marker_changes_nothing() -> None:
    """Reserved ids and ids out of range, anywhere in any output."""
    rng = random.Random(5)  # noqa: S311 - a seed is wanted
    for ids in outputs(rng):
        at = rng.randint(0, len(ids))
        told = without_spans(joined(parse([ids])))
        for token in (199998, 200000, 200013, 200018, 201087, 201088, -1):
            with_it = parse([[*ids[:at], token, *ids[at:]]])
            assert without_spans(joined(with_it)) == told


@pytest.mark.parametrize(
    "output",
    [
        " to=functions.fs.read to=<|start|><|constrain|> to=",
    ],
)
def test_what_the_coverage_guided_fuzz_found(output: str) -> None:
    """Outputs from fuzz/fuzz_parser.py that used to parse differently token by token."""
    ids = encoding().encode(output, allowed_special="all")
    assert joined(parse([[token] for token in ids])) == joined(parse([ids]))


def seconds(ids: list[int]) -> float:
    """The shortest of three times to parse `ids` one by one."""

    def once() -> float:
        parser = Parser(TOOLS)
        began = time.process_time()
        for token in ids:
            parser.feed([token])
        parser.finish()
        return time.process_time() - began

    return min(once() for _ in range(3))


def test_parsing_plain_text_takes_linear_time(capsys: pytest.CaptureFixture[str]) -> None:
    """48,000 tokens of plain text take at most ten times as long as 6,000."""
    text = encode("The quick brown fox jumps over the lazy dog, and says: hello! " * 4_000)
    short, long = seconds(text[:6_000]), seconds(text[:48_000])
    with capsys.disabled():
        sys.stderr.write(f"\n48,000 tokens of plain text: {long / short:.1f} times 6,000, ")
        sys.stderr.write(f"{long / 48_000 * 1e6:.2f} µs a token\n")
    assert long <= 10 * short


CALL = '<|channel|>commentary to=functions.fs.read<|message|>{"a":'
BEGINNINGS = ["", CALL, f'{CALL}"b', f"{CALL}1,", "<|channel|>final<|message|>"]
FLOODS = [
    *(f"<|channel|>{rest}" for rest in ("", "a", "a<|message|>", "final", "<|constrain|>json")),
    *("<|start|>", "<|start|>assistant", "<|end|>", "<|end|>a", "<|message|>", "<|constrain|>"),
    *("json ", " to=", "assistant", "<", "{", "[", ',"', "\\", " ", ", ", "👩"),
]


@pytest.mark.parametrize(
    "before", ["", CALL, f'{CALL}"b', f"{CALL}1,", "<|channel|>final<|message|>"]
)
@pytest.mark.parametrize("flood", FLOODS)
def test_parsing_a_flood_takes_linear_time(before: str, flood: str) -> None:
    """Eight times as many tokens take not much more than eight times as long."""
    start = encoding().encode(before, allowed_special="all")
    unit = encoding().encode(flood, allowed_special="all")
    short, long = seconds(start + unit * 500), seconds(start + unit * 4_000)
    assert long <= 8 * short * 3 + 0.01


def test_special_ids_are_never_text() -> None:
    """They may begin and end messages, which are empty."""
    told = joined(parse([list(SPECIAL) * 3]))
    assert [each for each in told if each[0] not in ("begun", "ended")] == [("finished", "True")]
